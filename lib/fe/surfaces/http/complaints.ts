/**
 * Describes what is wrong in a request to `/data`, in the words of the demo's framework (pydantic
 * 1).
 */
import type { FastifyRequest } from 'fastify';

export interface Complaint {
  readonly loc: (string | number)[];
  readonly msg: string;
  readonly type: string;
}

type Words = Omit<Complaint, 'loc'>;
type Values = Readonly<Record<string, unknown>>;

/** What the schema checks found. */
export interface Invalid {
  readonly validation: readonly { readonly instancePath: string; readonly keyword?: string }[];
  readonly validationContext?: unknown;
}

const NOT_INTEGER = { msg: 'value is not a valid integer', type: 'type_error.integer' } as const;
/** Python accepts `"5.0"` as one, too. */
const INTEGER = /^[+-]?\d+(?:\.0+)?$/;
/** Minimum values, where they differ from the smallest safe integer. */
const MINIMA: Readonly<Record<string, number>> = { limit: 1 };

export function complaintsOf(invalid: Invalid, request: FastifyRequest): Complaint[] {
  return invalid.validation.map(({ instancePath }) => {
    const path = instancePath.split('/').filter(Boolean);
    const [name = ''] = path;
    switch (invalid.validationContext) {
      case 'params':
        return { loc: ['path', ...path], ...ofInteger(name, fieldOf(request.params, name)) };
      case 'querystring':
        return { loc: ['query', ...path], ...ofInteger(name, fieldOf(request.query, name)) };
      default:
        return { loc: ['body', ...path], ...ofItem(name, request.body) };
    }
  });
}

function fieldOf(values: unknown, name: string): unknown {
  return (values as Values)[name];
}

function ofItem(name: string, body: unknown): Words {
  const value = name === '' ? body : fieldOf(body, name);
  if (value === undefined) return { msg: 'field required', type: 'value_error.missing' };
  if (value === null) {
    return { msg: 'none is not an allowed value', type: 'type_error.none.not_allowed' };
  }
  if (name === '') return { msg: 'value is not a valid dict', type: 'type_error.dict' };
  if (name === 'id') return ofInteger(name, value);
  if (typeof value !== 'string') return { msg: 'str type expected', type: 'type_error.str' };
  return { msg: 'str is not valid unicode: half a surrogate pair', type: 'value_error.unicode' };
}

function ofInteger(name: string, value: unknown): Words {
  const number = typeof value === 'string' && INTEGER.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isInteger(number)) return NOT_INTEGER;
  const minimum = MINIMA[name] ?? Number.MIN_SAFE_INTEGER;
  if (number < minimum) return outside('not_ge', `greater than or equal to ${minimum}`);
  const maximum = Number.MAX_SAFE_INTEGER;
  if (number > maximum) return outside('not_le', `less than or equal to ${maximum}`);
  return NOT_INTEGER;
}

function outside(type: string, bound: string): Words {
  return { msg: `ensure this value is ${bound}`, type: `value_error.number.${type}` };
}
