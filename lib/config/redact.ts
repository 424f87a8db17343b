/** Connection strings for people and logs. */

const SECRET_OPTION = /([?&;][^=&;]*(?:password|token|secret|properties)[^=&;]*=)[^&;]*/gi;

/**
 * A connection string without its password: `mongodb://user:***@host1,host2/db`. Meant for strings
 * that may be malformed: everything up to the last `@` counts as user and password, so that a
 * password with an unescaped `@`, `/` or `:` is hidden completely. Never throws.
 */
export function redactUri(uri: string): string {
  if (typeof uri !== 'string') return '';
  const scheme = uri.indexOf('://');
  const start = scheme < 0 ? 0 : scheme + '://'.length;
  const end = uri.lastIndexOf('@');
  if (end < start) return uri.replace(SECRET_OPTION, '$1***');
  const colon = uri.indexOf(':', start);
  const shown = colon < 0 || colon > end ? uri.slice(0, end) : `${uri.slice(0, colon)}:***`;
  return shown + uri.slice(end).replace(SECRET_OPTION, '$1***');
}
