/** Certificates for tests, made as the command makes them; no key is in the repository. */
import 'reflect-metadata';
import { createPrivateKey, KeyObject, webcrypto } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
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
      // Named, so that nothing is read from the old ones: a test may have broken them.
      await initTls({ folder, hosts: ['localhost', ...hosts], days, renew: true });
    },
  };
}

/**
 * A certificate of the authority in `folder` that no command would issue: with these names, for
 * one purpose. Resolves to its paths.
 */
export async function issueOdd(
  folder: string,
  names: readonly { readonly type: 'dns' | 'url'; readonly value: string }[],
  usage: 'clientAuth' | 'serverAuth',
): Promise<{ readonly tlsCert: string; readonly tlsKey: string }> {
  cryptoProvider.set(webcrypto as never);
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const authority = new X509Certificate(await readFile(join(folder, 'ca.pem'), 'utf8'));
  const der = createPrivateKey(await readFile(join(folder, 'ca.key'), 'utf8'));
  const pkcs8 = der.export({ format: 'der', type: 'pkcs8' });
  const signingKey = await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']);
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.create({
    subject: 'CN=fe',
    issuer: authority.subject,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    publicKey: keys.publicKey as never,
    signingKey: signingKey as never,
    signingAlgorithm: algorithm,
    extensions: [
      new ExtendedKeyUsageExtension([ExtendedKeyUsage[usage]]),
      new SubjectAlternativeNameExtension([...names]),
    ],
  });
  const paths = { tlsCert: join(folder, 'odd.pem'), tlsKey: join(folder, 'odd.key') };
  const key = KeyObject.from(keys.privateKey).export({ format: 'pem', type: 'pkcs8' });
  await writeFile(paths.tlsCert, certificate.toString('pem'));
  await writeFile(paths.tlsKey, key, { mode: 0o600 });
  return paths;
}
