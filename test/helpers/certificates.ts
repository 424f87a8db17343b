/** Certificates for tests, made as the command makes them; no key is in the repository. */
import { join } from 'node:path';
import { initTls } from '../../lib/cli/tls-init.ts';

export interface TestCertificates {
  readonly folder: string;
  readonly ca: string;
  /** Paths of the certificate and the key of one of `fe`, `be`, `admin`. */
  leaf(name: 'fe' | 'be' | 'admin'): { readonly tlsCert: string; readonly tlsKey: string };
  /** Issues them anew; a negative number of days makes them expired. */
  renew(days?: number): Promise<void>;
}

export async function makeCertificates(
  folder: string,
  hosts: readonly string[] = [],
): Promise<TestCertificates> {
  await initTls({ folder, hosts, days: 2, renew: false });
  return {
    folder,
    ca: join(folder, 'ca.pem'),
    leaf: (name) => ({
      tlsCert: join(folder, `${name}.pem`),
      tlsKey: join(folder, `${name}.key`),
    }),
    renew: async (days = 2) => {
      await initTls({ folder, hosts, days, renew: true });
    },
  };
}
