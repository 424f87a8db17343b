/**
 * The text of a configuration file as plain values. JSON is a subset of YAML, and so are the files
 * of the enc-server family (JSON with trailing commas); only those need the YAML parser.
 */

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
  const { LineCounter, parseDocument } = await import('yaml');
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
    const problem = document.errors[0] ?? document.warnings[0];
    if (problem === undefined) return document.toJS();
    const { line, col } = lines.linePos(problem.pos[0]);
    const why = REASONS[problem.code] ?? `this is neither YAML nor JSON (${problem.code})`;
    throw new EncServerError('BAD_CONFIG', `${file}:${line}:${col}: ${why}`);
  } catch (thrown) {
    if (thrown instanceof EncServerError) throw thrown;
    // Aliases without a target, or too many of them.
    throw new EncServerError('BAD_CONFIG', `${file}: this is neither YAML nor JSON`);
  }
}
