/**
 * The text of a configuration file as plain values. JSON is a subset of YAML, and so are the files
 * of the enc-server family (JSON with trailing commas); only those need the YAML parser.
 */

import type { Node } from 'yaml';
import { EncServerError } from '../errors.ts';

/**
 * What is wrong, by the YAML parser's code. Its own message may quote the file, and so a secret.
 */
const REASONS: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'the same name is there twice',
  MULTIPLE_DOCS: 'there is more than one document',
  MISSING_CHAR: 'a character is missing, such as a comma, a quote or a bracket',
  BAD_INDENT: 'a bracket is not closed, or the indentation is wrong',
  TAB_AS_INDENT: 'a tab stands where YAML wants spaces',
};

/**
 * Parses YAML or JSON. An empty file is `null`.
 * @throws EncServerError `BAD_CONFIG` with line and column, never with words from the file.
 */
export async function parseText(text: string, file: string): Promise<unknown> {
  const json = parseStrictJson(text);
  return json === undefined ? parseYaml(text, file) : json;
}

/** Undefined if the text is not JSON, or if JSON.parse would silently drop a name. */
function parseStrictJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return countNames(value) === countWrittenNames(text) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The number of names in valid JSON text, duplicates counted twice. */
function countWrittenNames(json: string): number {
  let names = 0;
  for (const match of json.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/g)) {
    if (match[1] !== undefined) names++;
  }
  return names;
}

function countNames(value: unknown): number {
  const rest = [value];
  let names = 0;
  while (rest.length > 0) {
    const next = rest.pop();
    if (typeof next !== 'object' || next === null) continue;
    const values: unknown[] = Object.values(next);
    if (!Array.isArray(next)) names += values.length;
    for (const inner of values) rest.push(inner);
  }
  return names;
}

/** Far more than any configuration needs, and far less than the stack can take. */
const FLOW_DEPTH_MAX = 100;
const TOO_DEEP_LINE = /^(?:[ \t]*[-?:][ \t]){100}|^ {400}/m;

/**
 * Whether the YAML parser might run out of stack. Usually it reports that itself; but if the last
 * of the stack is needed to compile a regular expression, V8 ends the whole process. A bracket in a
 * string counts too: nobody has a hundred of them open.
 */
function isTooDeep(text: string): boolean {
  let depth = 0;
  for (const [bracket] of text.matchAll(/[[\]{}]/g)) {
    depth = bracket === '[' || bracket === '{' ? depth + 1 : Math.max(0, depth - 1);
    if (depth > FLOW_DEPTH_MAX) return true;
  }
  return TOO_DEEP_LINE.test(text);
}

async function parseYaml(text: string, file: string): Promise<unknown> {
  if (isTooDeep(text)) throw new EncServerError('BAD_CONFIG', `${file}: it is nested too deep`);
  const { isScalar, LineCounter, parseDocument, visit } = await import('yaml');
  const lines = new LineCounter();
  const bad = (offset: number, why: string) => {
    const { line, col } = lines.linePos(offset);
    return new EncServerError('BAD_CONFIG', `${file}:${line}:${col}: ${why}`);
  };
  try {
    // Its warnings, which would go to standard error, quote the file.
    const options = { lineCounter: lines, prettyErrors: false, logLevel: 'error' } as const;
    const document = parseDocument(text, options);
    const problem = document.errors[0] ?? document.warnings[0];
    if (problem !== undefined) {
      const why = REASONS[problem.code] ?? `this is neither YAML nor JSON (${problem.code})`;
      throw bad(problem.pos[0], why);
    }
    visit(document, {
      Pair(_place, { key }) {
        if (key === null || isScalar(key)) return;
        throw bad(
          (key as Node).range?.[0] ?? 0,
          'a name is in brackets; put quotes around a value',
        );
      },
    });
    return document.toJS();
  } catch (thrown) {
    if (thrown instanceof EncServerError) throw thrown;
    // Aliases without a target, or too many of them.
    throw new EncServerError('BAD_CONFIG', `${file}: this is neither YAML nor JSON`);
  }
}
