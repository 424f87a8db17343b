/** An OpenAPI document as the tests read it, and whether an answer is one that it describes. */
import assert from 'node:assert/strict';
import type { HttpAnswer } from './http.ts';

export interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly example?: unknown;
  readonly enum?: readonly unknown[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: unknown;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
}
export interface Parameter {
  readonly in: string;
  readonly name: string;
  readonly required: boolean;
  readonly schema: Schema;
}
export interface Content {
  readonly [type: string]: { readonly schema: Schema };
}
export interface Response {
  readonly $ref?: string;
  readonly description: string;
  readonly headers?: Readonly<Record<string, { readonly schema: Schema }>>;
  readonly content?: Content;
}
export interface Operation {
  readonly operationId?: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, Response>>;
}
export interface OpenApi {
  readonly openapi: string;
  readonly tags: readonly { readonly name: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly responses: Readonly<Record<string, Response>> };
}

/** One operation, with the method in lower case and the path as the document has it. */
export interface NamedOperation {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

export function operationsOf({ paths }: OpenApi): NamedOperation[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
}

/** What pressing the button sends: each parameter and body with its example, if it has one. */
export function exampleOf({ path, operation }: NamedOperation) {
  let url = path;
  const headers: Record<string, string> = {};
  const query = new URLSearchParams();
  for (const { in: place, name, required, schema } of operation.parameters ?? []) {
    assert.ok(!required || schema.example !== undefined, `${path} ${name} has no example`);
    if (schema.example === undefined) continue;
    if (place === 'path') url = url.replace(`{${name}}`, String(schema.example));
    if (place === 'query') query.set(name, String(schema.example));
    if (place === 'header') headers[name] = String(schema.example);
  }
  if (query.size > 0) url += `?${query}`;
  const [type, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  if (type === undefined || content === undefined) return { url, headers, body: undefined };
  headers['content-type'] = type;
  const { example } = content.schema;
  return { url, headers, body: typeof example === 'string' ? example : JSON.stringify(example) };
}

/** What the document says of one status of an operation. */
export function responseOf({ components }: OpenApi, { operation }: NamedOperation, status: number) {
  const response = operation.responses[status];
  const name = response?.$ref?.split('/').at(-1);
  return name === undefined ? response : components.responses[name];
}

/** Headers that say something of one answer; the others are those of every HTTP answer. */
const TELLING = ['etag', 'enc-expires', 'retry-after', 'www-authenticate'];

/**
 * Fails unless the document has the answer's status, its headers, its type, and a schema that it is
 * of.
 */
export function assertDescribed(document: OpenApi, named: NamedOperation, answer: HttpAnswer) {
  const where = `${named.method} ${named.path}: ${answer.status} ${answer.body}`;
  const response = responseOf(document, named, answer.status);
  assert.ok(response, where);
  const told = Object.keys(response.headers ?? {}).map((name) => name.toLowerCase());
  for (const name of TELLING) {
    assert.ok(answer.headers[name] === undefined || told.includes(name), `${where}: ${name}`);
  }
  if (named.method === 'head') return;
  const type = String(answer.headers['content-type'] ?? '').split(';', 1)[0] as string;
  const content = response.content?.[type] ?? response.content?.['*/*'];
  assert.equal(content !== undefined, answer.body.length > 0, where);
  if (/json$/.test(type) && content !== undefined) assertOf(content.schema, answer.json(), where);
}

/** A small part of JSON Schema: as much as the document needs. */
export function assertOf(schema: Schema, value: unknown, where: string): void {
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices !== undefined) {
    assert.ok(
      choices.some((choice) => isOf(choice, value)),
      where,
    );
    return;
  }
  if (schema.enum !== undefined) assert.ok(schema.enum.includes(value), where);
  const type = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  if (schema.type === 'integer') assert.ok(Number.isInteger(value), where);
  else if (schema.type !== undefined) assert.equal(type, schema.type, where);
  if (Array.isArray(value)) {
    for (const [at, item] of value.entries()) assertOf(schema.items ?? {}, item, `${where} ${at}`);
  } else if (type === 'object') {
    assertFields(schema, value as Record<string, unknown>, where);
  }
}

function assertFields(schema: Schema, value: Record<string, unknown>, where: string): void {
  for (const name of schema.required ?? []) assert.ok(name in value, `${where}: no ${name}`);
  for (const [name, part] of Object.entries(value)) {
    const described = schema.properties?.[name];
    assert.ok(described ?? schema.additionalProperties !== false, `${where}: ${name}`);
    assertOf(described ?? {}, part, `${where} ${name}`);
  }
}

function isOf(schema: Schema, value: unknown): boolean {
  try {
    assertOf(schema, value, '');
    return true;
  } catch {
    return false;
  }
}
