import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/load.ts';
import { EXIT } from '../../lib/errors.ts';
import {
  chainOf,
  instructionsOf,
  isIgnored,
  oneOf,
  pairsOf,
  readDockerfile,
  type Stage,
  sourceOfImageFile,
} from '../helpers/dockerfile.ts';
import { run } from '../helpers/programs.ts';
import { makeTargets, pathInRepository, readRepository } from '../helpers/repository.ts';
import { temporaryFolder } from '../helpers/servers.ts';

const stages = readDockerfile();
const stage = (name: string): Stage => {
  const found = stages.find((one) => one.name === name);
  assert.ok(found, `no stage ${name}`);
  return found;
};
const prod = stage('prod');
const manifest = JSON.parse(readRepository('package.json'));

describe('Dockerfile', () => {
  it('has the targets, and prod is the one that is built without a name', () => {
    assert.deepEqual(
      stages.map(({ name }) => name),
      ['base', 'deps', 'build', 'test', 'prod'],
    );
    for (const { from } of stages.slice(1)) assert.ok(stages.some(({ name }) => name === from));
  });

  it('is built on a release of Node that the package supports', () => {
    const major = /^node:(\d+)-\w+-slim$/.exec(stage('base').from)?.[1];
    assert.ok(manifest.engines.node.split(' || ').some((one: string) => one.includes(`${major}.`)));
  });

  it('copies only what is there and not ignored', () => {
    for (const { name, instructions } of stages) {
      for (const { word, flags, args } of instructions) {
        if (word !== 'COPY' || flags.has('from')) continue;
        for (const source of args.slice(0, -1)) {
          assert.ok(existsSync(pathInRepository(source)), `${name}: ${source}`);
          assert.equal(isIgnored(source), false, `${name}: ${source}`);
        }
      }
    }
  });

  it('copies from a stage what that stage has made', () => {
    const made = new Map([
      ['/app/node_modules', 'npm ci'],
      ['/app/dist/bin', 'npm run build'],
      ['/app/dist/lib', 'npm run build'],
    ]);
    for (const { flags, args } of instructionsOf(prod, 'COPY')) {
      const from = flags.get('from');
      if (from === undefined) continue;
      const steps = instructionsOf(stage(from), 'RUN').map((one) => one.args.join(' '));
      const maker = made.get(args[0] as string);
      assert.ok(maker !== undefined && steps.some((step) => step.includes(maker)), args[0]);
    }
    assert.ok(manifest.scripts.build);
  });

  it('test runs a target of the Makefile, not as root, with what its tests look at', () => {
    const { args, isExec } = oneOf(stage('test'), 'CMD');
    assert.deepEqual([args[0], isExec], ['make', true]);
    assert.ok(makeTargets().includes(args[1] as string));
    assert.equal(oneOf(stage('test'), 'USER').args[0], 'node');
    for (const path of ['.gitignore', 'biome.json', '.c8rc.json', 'deployments', 'docs', '.github'])
      assert.equal(isIgnored(path), false, path);
  });
});

describe('image prod', () => {
  const env = pairsOf(prod, 'ENV');

  it('runs the program itself, as a numbered user, without npm', () => {
    const entry = oneOf(prod, 'ENTRYPOINT');
    assert.equal(entry.isExec, true, 'signals reach the program, not a shell');
    const [node, path = ''] = entry.args;
    assert.equal(node, 'node');
    assert.equal(sourceOfImageFile(path), manifest.bin['enc-server']);
    assert.match(oneOf(prod, 'USER').args[0] ?? '', /^[1-9]\d*:[1-9]\d*$/);
    const steps = chainOf(stages, 'prod').flatMap((one) => instructionsOf(one, 'RUN'));
    for (const { args } of steps) assert.doesNotMatch(args.join(' '), /\bnpm\b/);
  });

  it('serves by default: its command is one of the program', async () => {
    const { code, stdout } = await run('enc-server', [...oneOf(prod, 'CMD').args, '--help']);
    assert.equal(code, EXIT.done);
    assert.match(stdout.toString(), /^Usage: enc-server up /);
  });

  it('has the manifest and the files that the program reads', () => {
    assert.equal(sourceOfImageFile('/app/package.json'), 'package.json');
    assert.equal(sourceOfImageFile('/app/config/config.json'), 'config/config.json');
    // Read when the first gRPC call comes.
    assert.equal(sourceOfImageFile('/app/proto/service.proto'), 'proto/service.proto');
    assert.equal(sourceOfImageFile('/app/dist/lib/errors.js'), 'dist/lib/errors.js');
    assert.equal(sourceOfImageFile('/app/dist/test/helpers/servers.js'), undefined);
  });

  it('sets only what there is: data in the volume, the log on standard output', async () => {
    const { config, warnings } = await loadConfig({ env: { ...env, HOME: '/home/node' } });
    assert.deepEqual(warnings, []);
    const volume = oneOf(prod, 'VOLUME').args[0];
    assert.equal(config.beServerConfigs.dataDir, volume);
    assert.equal(config.feServerConfigs.dataDir, volume);
    assert.equal(config.feServerConfigs.keyring, `${volume}/fe/keyring.json`);
    assert.deepEqual([config.log.dir, config.log.stdout], ['', true]);
    assert.equal(config.beServerConfigs.store, 'level');
  });

  it('makes its volume for its user alone', () => {
    const [uid, gid] = (oneOf(prod, 'USER').args[0] ?? '').split(':');
    const words = oneOf(prod, 'RUN').args;
    for (const word of [`--owner=${uid}`, `--group=${gid}`, '--mode=0700']) {
      assert.ok(words.includes(word), word);
    }
    assert.equal(words.at(-1), oneOf(prod, 'VOLUME').args[0]);
  });

  it('exposes the front end, on every interface; the back end stays on loopback', async () => {
    const { config } = await loadConfig({ env: { ...env, HOME: '/home/node' } });
    assert.deepEqual(oneOf(prod, 'EXPOSE').args, [String(config.feServerConfigs.port)]);
    assert.equal(config.feServerConfigs.host, '0.0.0.0');
    assert.equal(config.beServerConfigs.host, 'localhost');
  });

  it('does not start open unless told to', async () => {
    const folder = await temporaryFolder();
    const ports = ['--fe-port', '0', '--be-port', '0', '--data-dir', folder];
    const refused = await run('enc-server', ['up', ...ports], { env });
    assert.equal(refused.code, EXIT.notAllowed);
    assert.match(refused.stderr, /NOT_ALLOWED 0\.0\.0\.0 .*\n.*ENC_SERVER_TS_ALLOW_OPEN=1/);
    const { config } = await loadConfig({
      env: { ...env, HOME: '/h', ENC_SERVER_TS_ALLOW_OPEN: '1' },
    });
    assert.equal(config.feServerConfigs.allowOpen, true);
  });

  it('looks after its own health with a file that it has, without a shell', () => {
    const { args, isExec } = oneOf(prod, 'HEALTHCHECK');
    assert.equal(isExec, true);
    assert.equal(args[0], 'node');
    assert.equal(sourceOfImageFile(args[1] ?? ''), 'deployments/docker/ping.js');
  });

  it('says what it is', () => {
    const labels = pairsOf(prod, 'LABEL');
    assert.equal(labels['org.opencontainers.image.title'], manifest.name);
    assert.equal(labels['org.opencontainers.image.licenses'], manifest.license);
    assert.ok(labels['org.opencontainers.image.description']);
  });
});

/** Secrets that somebody has who follows README.md in the repository's own folder. */
const OF_THE_README = [
  'token',
  'tls/ca.key',
  'keys.jsonl',
  'records.jsonl',
  'exported.jsonl',
  'passphrase.txt',
];

describe('.gitignore', () => {
  it('keeps secrets out of commits', (t) => {
    const args = ['check-ignore', '--no-index', ...OF_THE_README];
    const { status, stdout } = spawnSync('git', args, { cwd: pathInRepository('.') });
    if (status !== 0 && status !== 1) return t.skip('there is no git, or no repository');
    assert.deepEqual(stdout.toString().split('\n').filter(Boolean), OF_THE_README);
  });
});

describe('.dockerignore', () => {
  it('leaves out what is built, what is fetched, the history and secrets', () => {
    for (const path of [
      'node_modules/zod/package.json',
      'dist/lib/errors.js',
      'dist-x/.tsbuildinfo',
      '.git/config',
      'coverage/index.html',
      '.env',
      'alice.key',
      'data/fe/keyring.json',
      'deployments/be.key',
      ...OF_THE_README,
    ]) {
      assert.equal(isIgnored(path), true, path);
    }
    assert.equal(isIgnored('lib/crypto/keyring.ts'), false);
  });

  it('leaves out nothing of the repository, which the tests in the image need', (t) => {
    const { status, stdout } = spawnSync('git', ['ls-files', '-z'], { cwd: pathInRepository('.') });
    if (status !== 0) return t.skip('there is no git, or no repository: this is an image');
    const files = stdout.toString().split('\0').filter(Boolean);
    assert.ok(files.includes('package.json'));
    assert.deepEqual(files.filter(isIgnored), []);
  });
});
