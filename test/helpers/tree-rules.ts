/** How the tree may look: long files and functions, circles of imports, tests that stay small. */
import { readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import ts from 'typescript';

export const FILE_LINES_MAX = 300;
/** A screen. */
export const FUNCTION_LINES_MAX = 50;

/** Files longer than {@link FILE_LINES_MAX}. */
export function longFiles(root: string, files: readonly string[]): string[] {
  return files.filter((file) => {
    const lines = readFileSync(join(root, file), 'utf8').trimEnd().split('\n').length;
    return lines > FILE_LINES_MAX;
  });
}

/** Functions longer than {@link FUNCTION_LINES_MAX}, as `file name`. */
export function longFunctions(root: string, files: readonly string[]): string[] {
  const found: string[] = [];
  for (const file of files) {
    const source = parsed(root, file);
    const lineAt = (position: number) => source.getLineAndCharacterOfPosition(position).line;
    const visit = (node: ts.Node): void => {
      if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
        const lines = lineAt(node.end) - lineAt(node.getStart(source)) + 1;
        if (lines > FUNCTION_LINES_MAX) found.push(`${file} ${nameOf(node, source)}`);
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return found;
}

function nameOf(node: ts.SignatureDeclaration, source: ts.SourceFile): string {
  const holder = ts.isVariableDeclaration(node.parent) ? node.parent : node;
  return holder.name?.getText(source) ?? 'without a name';
}

/**
 * Groups of files of which each leads to each other by what is loaded with it. What is there for
 * the compiler alone (`import type`) loads nothing, and `import()` waits until it is called.
 */
export function importCircles(root: string, files: readonly string[]): string[][] {
  const loads = new Map(files.map((file) => [file, loadedBy(root, file)]));
  const reached = new Map(files.map((file) => [file, reachedFrom(file, loads)]));
  const leadsTo = (from: string, to: string) => reached.get(from)?.has(to) === true;
  const circles = new Map<string, string[]>();
  for (const file of files.filter((one) => leadsTo(one, one))) {
    const circle = files.filter((other) => leadsTo(file, other) && leadsTo(other, file));
    circles.set(circle.join(), circle);
  }
  return [...circles.values()];
}

/**
 * What keeps a test from being a small one: a way from it, over the tests' own helpers, to a
 * port, a program or a whole server. One line for each file and what it gets at.
 */
export function bigTests(root: string, tests: readonly string[]): string[] {
  return tests.flatMap((test) => {
    const seen = new Set<string>();
    const found: string[] = [];
    const rest = [test];
    for (let file = rest.pop(); file !== undefined; file = rest.pop()) {
      if (seen.has(file)) continue;
      seen.add(file);
      for (const imported of importsOf(root, file)) {
        const path = imported.startsWith('.') ? posix.join(dirname(file), imported) : imported;
        if (BIG.test(path)) found.push(`${test}: ${path}`);
        if (path.startsWith('test/')) rest.push(path);
      }
    }
    return found;
  });
}

const BIG =
  /^node:(?:net|tls|https?|http2|dgram|child_process|worker_threads|cluster)$|^lib\/[bf]e\/server\.ts$/;

function reachedFrom(file: string, loads: ReadonlyMap<string, readonly string[]>): Set<string> {
  const reached = new Set<string>();
  const rest = [...(loads.get(file) ?? [])];
  for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
    if (reached.has(next)) continue;
    reached.add(next);
    rest.push(...(loads.get(next) ?? []));
  }
  return reached;
}

/** Files of the tree that are loaded with a file, as paths from the root. */
function loadedBy(root: string, file: string): string[] {
  return importsOf(root, file)
    .filter((imported) => imported.startsWith('.'))
    .map((imported) => posix.join(dirname(file), imported));
}

/** What a file imports or passes on when it is loaded, as it is written there. */
function importsOf(root: string, file: string): string[] {
  return parsed(root, file).statements.flatMap((statement) => {
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) return [];
    const isType = ts.isImportDeclaration(statement)
      ? statement.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
      : statement.isTypeOnly;
    const from = statement.moduleSpecifier;
    return isType || from === undefined || !ts.isStringLiteral(from) ? [] : [from.text];
  });
}

function parsed(root: string, file: string): ts.SourceFile {
  const text = readFileSync(join(root, file), 'utf8');
  return ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
}
