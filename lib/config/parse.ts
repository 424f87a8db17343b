/**
 * The text of a configuration file as plain values. JSON is a part of YAML, and so are the
 * files of the enc-server family (JSON with trailing commas); only those need the YAML parser.
 */

import { EncServerError } from '../errors.ts';

/** What is wrong, by the YAML parser's code. Its own words may quote the file: a secret, say. */
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

/** Undefined where the text is no JSON, or where JSON.parse would silently drop a name. */
function parseStrictJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return countNames(value) === countWrittenNames(text) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Names in valid JSON text, the ones given twice counted twice. */
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

async function parseYaml(text: string, file: string): Promise<unknown> {
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
    // Aliases without a target or too many of them, or nesting deeper than the stack.
    throw new EncServerError('BAD_CONFIG', `${file}: this is neither YAML nor JSON`);
  }
}
