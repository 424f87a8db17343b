import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { readEnvironment } from '../../lib/config/environment.ts';
import { EXIT } from '../../lib/errors.ts';
import { readDockerfile } from '../helpers/dockerfile.ts';
import {
  filesUnder,
  makeTargets,
  pathInRepository,
  readRepository,
  readYaml,
} from '../helpers/repository.ts';

const PATH = '.github/workflows/ci.yml';

/** The part of GitHub's workflow syntax that is used here, with nothing else allowed. */
const step = z.strictObject({
  name: z.string().optional(),
  if: z.enum(['failure()', 'always()']).optional(),
  uses: z
    .string()
    .regex(/^actions\/[\w-]+@v\d+$/)
    .optional(),
  with: z.strictObject({ 'node-version': z.unknown(), cache: z.literal('npm') }).optional(),
  run: z.string().optional(),
});

const workflow = z.strictObject({
  name: z.string(),
  on: z.strictObject({
    push: z.strictObject({ branches: z.array(z.string()) }),
    pull_request: z.null(),
  }),
  permissions: z.strictObject({ contents: z.literal('read') }),
  concurrency: z.strictObject({ group: z.string(), 'cancel-in-progress': z.boolean() }),
  jobs: z.record(
    z.string(),
    z.strictObject({
      name: z.string(),
      'runs-on': z.string(),
      'timeout-minutes': z.number(),
      strategy: z
        .strictObject({
          'fail-fast': z.boolean(),
          matrix: z.strictObject({ node: z.array(z.number()) }),
        })
        .optional(),
      env: z.record(z.string(), z.string()).optional(),
      steps: z.array(step),
    }),
  ),
});

const ci = workflow.parse(readYaml(PATH));
const manifest = JSON.parse(readRepository('package.json'));
const runsOf = (job: string) => (ci.jobs[job]?.steps ?? []).flatMap(({ run }) => run ?? []);
const everything = Object.keys(ci.jobs).flatMap(runsOf).join('\n');

describe(PATH, () => {
  it('runs what a person runs, on every release of Node that the package supports', () => {
    const releases = ci.jobs['node']?.strategy?.matrix.node ?? [];
    const supported = [...manifest.engines.node.matchAll(/(\d+)\.\d+\.\d+/g)];
    assert.deepEqual(
      releases,
      supported.map((one) => Number(one[1])),
    );
    assert.ok(runsOf('node').includes('make install tests itests'));
  });

  it('runs every test with a replica set of three', () => {
    const uri = ci.jobs['mongo']?.env?.['MONGODB_URI'] ?? '';
    const members = /^mongodb:\/\/([^/]+)\/\?replicaSet=rs0$/.exec(uri)?.[1]?.split(',') ?? [];
    assert.equal(members.length, 3);
    const script = runsOf('mongo').join('\n');
    for (const member of members) assert.ok(script.includes(`host: "${member}"`), member);
    assert.match(script, /mongod --replSet rs0 /);
    assert.match(script, /^make install tests itests$/m);
  });

  it('calls targets of the Makefile only', () => {
    const known = makeTargets();
    const called = [...everything.matchAll(/^ *make ([a-z -]+)$/gm)];
    const targets = new Set(called.flatMap((one) => (one[1] as string).split(' ')));
    for (const target of ['tests', 'itests', 'up', 'feclient', 'beclient', 'down']) {
      assert.ok(targets.has(target), `${target} is never called`);
    }
    for (const target of targets) assert.ok(known.includes(target), `make ${target}`);
  });

  it('builds both targets of the Dockerfile', () => {
    const built = [...everything.matchAll(/docker build .*--target (\w+)/g)].map((one) => one[1]);
    assert.deepEqual(built.sort(), ['prod', 'test']);
    for (const name of built) assert.ok(readDockerfile().some((stage) => stage.name === name));
  });

  it('expects the exit code of a server that may not listen', () => {
    assert.ok(everything.includes(`test "$code" -eq ${EXIT.notAllowed}`));
  });

  it('names programs, scripts and variables that there are', async () => {
    const programs = new Set(
      [...everything.matchAll(/dist\/bin\/[\w-]+\.js/g)].map(([one]) => one),
    );
    for (const path of programs) assert.ok(Object.values(manifest.bin).includes(path), path);
    const scripts = [...everything.matchAll(/deployments\/[\w./-]+/g)].map(([one]) => one);
    assert.ok(scripts.length > 0);
    for (const path of scripts) assert.ok(existsSync(pathInRepository(path)), path);
    const variables = [...everything.matchAll(/(ENC_SERVER_TS_\w+)=(\w+)/g)];
    assert.ok(variables.length > 0);
    const env = Object.fromEntries(variables.map(([, name, value]) => [name, value]));
    assert.deepEqual((await readEnvironment(env)).warnings, []);
  });
});

describe('committed files of the deployments', () => {
  const paths = ['Dockerfile', 'docker-compose.yml', '.dockerignore'].concat(
    filesUnder('deployments'),
    filesUnder('config'),
    filesUnder('.github'),
  );
  const SECRETS = [
    // Key material: long hex or base64, PEM.
    /[0-9a-f]{32}/i,
    /[A-Za-z0-9+/]{40,}={0,2}/,
    /-----BEGIN/,
    // A connection string with a password, unless a script fills it in.
    /mongodb(\+srv)?:\/\/[^\s/:@]+:(?!%s@)[^\s/@]+@/,
    /(?:password|passwd|pwd)\s*[:=]\s*['"]?[\w-]{3,}['"]?\s*$/im,
  ];
  const findSecret = (text: string) => SECRETS.find((pattern) => pattern.test(text));

  it('hold no secret', () => {
    assert.ok(paths.length > 12);
    for (const path of paths) assert.equal(findSecret(readRepository(path)), undefined, path);
  });

  it('would be found out', () => {
    for (const secret of [
      'a'.repeat(64),
      Buffer.alloc(48, 'secret').toString('base64'),
      'mongodb://user:pass@mongo:27017',
      'MONGO_INITDB_ROOT_PASSWORD=pass',
      'password: hunter2',
      '-----BEGIN PRIVATE KEY-----',
    ]) {
      assert.notEqual(findSecret(`x ${secret}`), undefined, secret);
    }
  });
});
