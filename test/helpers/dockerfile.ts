/** The Dockerfile and .dockerignore, read as far as this project uses them. */
import { readRepository } from './repository.ts';

export interface Instruction {
  /** `COPY`, `RUN` and so on. */
  readonly word: string;
  /** `--from=build` as `from: 'build'`. */
  readonly flags: ReadonlyMap<string, string>;
  /** The words behind, or the items where they are written as a JSON array. */
  readonly args: readonly string[];
  readonly isExec: boolean;
}

export interface Stage {
  readonly name: string;
  readonly from: string;
  readonly instructions: readonly Instruction[];
}

export function readDockerfile(): Stage[] {
  return parseDockerfile(readRepository('Dockerfile'));
}

export function parseDockerfile(text: string): Stage[] {
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  const lines = text.replaceAll(/^#.*\n/gm, '').replaceAll(/\\\n/g, ' ');
  for (const line of lines.split('\n').map((one) => one.trim())) {
    if (line === '') continue;
    const instruction = parseInstruction(line);
    if (instruction.word === 'FROM') {
      const [from = '', , name = ''] = instruction.args;
      stages.push({ name, from, instructions: [] });
    } else {
      const stage = stages.at(-1);
      if (stage === undefined) throw new Error(`before any FROM: ${line}`);
      stage.instructions.push(instruction);
    }
  }
  return stages;
}

function parseInstruction(line: string): Instruction {
  const words = line.match(/(?:"[^"]*"|\S)+/g) ?? [];
  const [word = '', ...rest] = words;
  const flags = new Map<string, string>();
  while (rest[0]?.startsWith('--') && word !== 'FROM') {
    const [name = '', value = ''] = (rest.shift() as string).slice(2).split('=');
    flags.set(name, value);
  }
  const array = /\[.*\]$/.exec(line);
  const isExec = array !== null && ['CMD', 'ENTRYPOINT', 'HEALTHCHECK'].includes(word);
  const args = isExec ? (JSON.parse(array[0]) as string[]) : rest;
  return { word, flags, args, isExec };
}

/** A stage by its name, with the stages that it is made from, the first one first. */
export function chainOf(stages: readonly Stage[], name: string): Stage[] {
  const stage = stages.find((one) => one.name === name);
  return stage === undefined ? [] : [...chainOf(stages, stage.from), stage];
}

export function instructionsOf(stage: Stage, word: string): Instruction[] {
  return stage.instructions.filter((one) => one.word === word);
}

/** The only instruction of its kind. */
export function oneOf(stage: Stage, word: string): Instruction {
  const [first, ...others] = instructionsOf(stage, word);
  if (first === undefined || others.length > 0) throw new Error(`not one ${word}`);
  return first;
}

/** `ENV` or `LABEL` of a stage. */
export function pairsOf(stage: Stage, word: 'ENV' | 'LABEL'): Record<string, string> {
  const pairs = instructionsOf(stage, word).flatMap(({ args }) => args);
  return Object.fromEntries(
    pairs.map((pair) => {
      const [name = '', ...value] = pair.split('=');
      return [name, value.join('=').replaceAll('"', '')];
    }),
  );
}

/**
 * The path in the repository of a file of the image `prod`; undefined if nothing puts it there.
 * What the stage `build` compiled is found as the compiler's output.
 */
export function sourceOfImageFile(path: string): string | undefined {
  const prod = readDockerfile().find((one) => one.name === 'prod');
  for (const { flags, args } of prod ? instructionsOf(prod, 'COPY') : []) {
    const target = new URL(args.at(-1) as string, 'file:///app/').pathname;
    for (const source of args.slice(0, -1)) {
      const local = flags.has('from') ? source.replace(/^\/app\//, '') : source;
      const isFolder = target.endsWith('/');
      const place = isFolder ? `${target}${local}` : target;
      if (path === place) return local;
      if (path.startsWith(`${place}/`)) return `${local}${path.slice(place.length)}`;
    }
  }
  return undefined;
}

/** Whether .dockerignore leaves a path of the repository out of every image. */
export function isIgnored(path: string): boolean {
  const parts = path.split('/');
  const parents = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
  const last = ignorePatterns().findLast(({ pattern }) => parents.some((one) => pattern.test(one)));
  return last !== undefined && !last.isException;
}

interface IgnorePattern {
  readonly pattern: RegExp;
  readonly isException: boolean;
}

/** `*` within a name, `**` over folders, `!` for an exception; the last that fits decides. */
function ignorePatterns(): IgnorePattern[] {
  const lines = readRepository('.dockerignore').split('\n');
  return lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const isException = line.startsWith('!');
      const pattern = line
        .slice(isException ? 1 : 0)
        .replaceAll('.', '\\.')
        .replaceAll(/\*\*\/|\*/g, (stars) => (stars === '*' ? '[^/]*' : '(?:.*/)?'));
      return { pattern: new RegExp(`^${pattern}$`), isException };
    });
}
