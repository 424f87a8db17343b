/** Looks for secrets in bytes, in every form in which a program could have let one slip. */

/** One secret, and the bytes that would give it away. */
interface Needle {
  readonly name: string;
  readonly form: string;
  readonly bytes: Buffer;
}

/** Where a secret was found: name of the secret, form, place. */
export type Finding = `${string} as ${string} in ${string}`;

/** Raw, hexadecimal in both cases, base64 and base64url at each of the three offsets. */
function needlesOf(name: string, secret: Buffer): Needle[] {
  const hex = secret.toString('hex');
  const forms: [string, Buffer][] = [
    ['raw', secret],
    ['hex', Buffer.from(hex)],
    ['upper-case hex', Buffer.from(hex.toUpperCase())],
  ];
  for (const encoding of ['base64', 'base64url'] as const) {
    for (const offset of [0, 1, 2]) {
      forms.push([`${encoding} at ${offset}`, Buffer.from(encodedAt(secret, encoding, offset))]);
    }
  }
  return forms.map(([form, bytes]) => ({ name, form, bytes }));
}

/** The digits that only the secret decides, when `offset` other bytes stand before it. */
function encodedAt(secret: Buffer, encoding: 'base64' | 'base64url', offset: number): string {
  const whole = Buffer.concat([Buffer.alloc(offset), secret]);
  const bits = 8 * whole.length;
  const first = Math.ceil((8 * offset) / 6);
  return whole.toString(encoding).slice(first, Math.floor(bits / 6));
}

/** All places where any of the secrets is found. */
export function findSecrets(
  secrets: Readonly<Record<string, Buffer | string>>,
  places: ReadonlyMap<string, Buffer>,
): Finding[] {
  const needles = Object.entries(secrets).flatMap(([name, secret]) =>
    needlesOf(name, Buffer.from(secret)),
  );
  const found: Finding[] = [];
  for (const [place, bytes] of places) {
    for (const { name, form, bytes: needle } of needles) {
      if (bytes.includes(needle)) found.push(`${name} as ${form} in ${place}`);
    }
  }
  return found;
}
