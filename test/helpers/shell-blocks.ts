/** The shell commands of a document, as somebody types them who reads it from top to bottom. */
import { blocksOf } from './vectors.ts';

/** Why a block is not run, as it stands behind `no-run`. */
export const REASONS = {
  docker: 'needs Docker',
  kubernetes: 'needs a cluster',
  mongodb: 'needs a MongoDB on its default port',
  make: 'installs packages or runs for minutes; the workflow does it',
} as const;

export type Reason = keyof typeof REASONS;

export interface ShellBlock {
  /** Line number of the opening fence, from 1. */
  readonly line: number;
  readonly text: string;
  /** `server`: it runs until it is stopped, in a terminal of its own. */
  readonly kind: 'run' | 'server' | Reason;
  /** The number of the section that it stands in. */
  readonly section: number;
}

/** All blocks that are `sh`, `sh server` or `sh no-run REASON`. Throws on other words behind `sh`. */
export function shellBlocksOf(markdown: string): ShellBlock[] {
  // Those in a list are indented.
  const lines = markdown.split('\n').map((line) => line.replace(/^ +(?=```)/, ''));
  const starts = lines.flatMap((line, index) => (/^##+ /.test(line) ? [index + 1] : []));
  return blocksOf(lines.join('\n'))
    .filter(({ info }) => info.split(' ')[0] === 'sh')
    .map(({ info, line, text }) => ({
      line,
      text,
      kind: kindOf(info, line),
      section: starts.filter((start) => start < line).length,
    }));
}

function kindOf(info: string, line: number): ShellBlock['kind'] {
  const [, word, reason, ...more] = info.split(' ');
  if (word === undefined) return 'run';
  if (word === 'server' && reason === undefined) return 'server';
  if (word === 'no-run' && reason !== undefined && reason in REASONS && more.length === 0) {
    return reason as Reason;
  }
  throw new Error(`line ${line}: \`${info}\` is not known`);
}

/** What may be shown of what commands print: no key, no token, no passphrase. */
export function masked(text: string): string {
  return text
    .replaceAll(/est_[0-9a-f]{12}_[\w-]{43}/g, '[token]')
    .replaceAll(/\b[0-9a-fA-F]{32,}\b/g, '[hex]')
    .replaceAll(/[A-Za-z0-9+/_-]{32,}={0,2}/g, '[base64]');
}
