import { readFileSync } from 'node:fs';

interface Manifest {
  readonly version: string;
}

const manifest = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as Manifest;

/** The release of this package. */
export const VERSION: string = manifest.version;

/** How the program identifies itself on the wire. */
export const AGENT = `enc-server-ts/${VERSION}`;
