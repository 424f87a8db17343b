/**
 * A small authority and certificates for development (RFC 5280), with P-256 keys. Whoever has
 * `ca.key` can issue more of them: for anything that matters, use an authority of your own.
 */
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { access, mkdir, readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { EncServerError } from '../errors.ts';
import { fileError } from '../file-error.ts';
import { replaceFile } from '../secret-file.ts';

type CryptoKey = webcrypto.CryptoKey;
type Provider = Parameters<typeof cryptoProvider.set>[0];

export interface TlsInit {
  readonly folder: string;
  /**
   * Names and addresses of the servers, besides this machine's own; when renewing, none keeps the
   * old.
   */
  readonly hosts: readonly string[];
  readonly days: number;
  /** Reissues the existing certificates, under the existing authority. */
  readonly renew: boolean;
}

interface Authority {
  readonly certificate: X509Certificate;
  readonly key: CryptoKey;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 86_400_000;
const AUTHORITY_DAYS = 3_650;
/**
 * Clocks differ: a certificate valid from now on would not be valid yet elsewhere. In milliseconds.
 */
const CLOCK_SKEW_MS = 3_600_000;
const { clientAuth, serverAuth } = ExtendedKeyUsage;
const LEAVES = [
  { name: 'fe', usages: [serverAuth, clientAuth], serves: true },
  { name: 'be', usages: [serverAuth], serves: true },
  { name: 'admin', usages: [clientAuth], serves: false },
] as const;

/**
 * Resolves to the files that were made. Rejects with `CONFLICT` rather than overwriting one, and
 * with `FILE_ERROR`, also if the authority to renew from is missing.
 */
export async function initTls(options: TlsInit): Promise<string[]> {
  const { folder, renew } = options;
  cryptoProvider.set(webcrypto as unknown as Provider);
  try {
    const files: string[] = [];
    if (!renew) await makeFolder(folder);
    const authority = renew ? await readAuthority(folder) : await makeAuthority(folder, files);
    for (const leaf of LEAVES) await makeLeaf(leaf, authority, options, files);
    return files;
  } catch (thrown) {
    if (thrown instanceof EncServerError) throw thrown;
    throw fileError('cannot make certificates in', folder, thrown);
  }
}

/** Makes a new folder, or checks that one has none of the files. */
async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const names = ['ca', ...LEAVES.map(({ name }) => name)];
  for (const file of names.flatMap((name) => [`${name}.pem`, `${name}.key`])) {
    if (!(await exists(join(folder, file)))) continue;
    const hint = 'choose another folder, or --renew with the authority that is there';
    throw new EncServerError('CONFLICT', `there is ${file} in ${folder} already`, { hint });
  }
}

async function makeAuthority(folder: string, files: string[]): Promise<Authority> {
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: 'CN=enc-server-ts development authority',
    ...validity(AUTHORITY_DAYS),
    keys: keys as never,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey as never),
    ],
  });
  files.push(await write(folder, 'ca.key', await pemOf(keys.privateKey)));
  files.push(await write(folder, 'ca.pem', `${certificate.toString('pem')}\n`));
  return { certificate, key: keys.privateKey };
}

async function readAuthority(folder: string): Promise<Authority> {
  const certificate = new X509Certificate(await readFile(join(folder, 'ca.pem'), 'utf8'));
  const pem = await readFile(join(folder, 'ca.key'), 'utf8');
  const der = Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
  const key = await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, true, ['sign']);
  return { certificate, key };
}

async function makeLeaf(
  { name, usages, serves }: (typeof LEAVES)[number],
  authority: Authority,
  { folder, hosts, days, renew }: TlsInit,
  files: string[],
): Promise<void> {
  const keys = await generateKeys();
  const here = ['localhost', '127.0.0.1', '::1'];
  const others = renew && hosts.length === 0 ? await hostsIn(join(folder, `${name}.pem`)) : hosts;
  const names = serves ? [name, ...here, ...others] : [name];
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([...usages]),
    await SubjectKeyIdentifierExtension.create(keys.publicKey as never),
    await AuthorityKeyIdentifierExtension.create(authority.certificate),
    new SubjectAlternativeNameExtension([...new Set(names)].map(generalName)),
  ];
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${name}`,
    issuer: authority.certificate.subject,
    ...validity(days),
    publicKey: keys.publicKey as never,
    signingKey: authority.key as never,
    signingAlgorithm: ALGORITHM,
    extensions,
  });
  files.push(await write(folder, `${name}.key`, await pemOf(keys.privateKey)));
  files.push(await write(folder, `${name}.pem`, `${certificate.toString('pem')}\n`));
}

/** The names and addresses of a certificate; empty if there is no such file. */
async function hostsIn(path: string): Promise<string[]> {
  if (!(await exists(path))) return [];
  const pem = await readFile(path, 'utf8');
  try {
    const extension = new X509Certificate(pem).getExtension(SubjectAlternativeNameExtension);
    return extension?.names.items.map(({ value }) => value) ?? [];
  } catch (cause) {
    const hint = 'name the hosts of the new one with --host';
    throw new EncServerError('FILE_ERROR', `${path} is no certificate`, { hint, cause });
  }
}

function generalName(value: string): { type: 'ip' | 'dns'; value: string } {
  return { type: isIP(value) === 0 ? 'dns' : 'ip', value };
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

/** 16 random bytes, positive (RFC 5280 section 4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - CLOCK_SKEW_MS), notAfter: new Date(now + days * DAY_MS) };
}

async function pemOf(key: CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`;
}

/** Written to a temporary file, then renamed: a server that reads it now never sees half of it. */
async function write(folder: string, name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await replaceFile(path, text);
  return path;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
