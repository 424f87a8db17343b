import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type Config, loadConfig } from '../../lib/config/load.ts';
import { EXIT } from '../../lib/errors.ts';
import { type ComposeService, composeSchema } from '../helpers/compose-schema.ts';
import {
  oneOf,
  pairsOf,
  readDockerfile,
  type Stage,
  sourceOfImageFile,
} from '../helpers/dockerfile.ts';
import { INIT } from '../helpers/mongo-user.ts';
import { run } from '../helpers/programs.ts';
import { pathInRepository, readRepository, readYaml } from '../helpers/repository.ts';
import { withSecrets } from '../helpers/secrets-folder.ts';

const file = composeSchema.parse(readYaml('docker-compose.yml'));
const { services } = file;
const service = (name: string): ComposeService => {
  const found = services[name];
  assert.ok(found, `no service ${name}`);
  return found;
};
const prod = readDockerfile().find(({ name }) => name === 'prod') as Stage;

/** What a server of ours runs with: the image's environment and the service's over it. */
async function configOf(name: string): Promise<Config> {
  const env: NodeJS.ProcessEnv = {
    HOME: '/home/node',
    ...pairsOf(prod, 'ENV'),
    ...service(name).environment,
  };
  return await withSecrets('mongo:27017', async (folder) => {
    const inImage = sourceOfImageFile(env['ENC_SERVER_TS_CONFIG_PATH'] ?? '');
    assert.ok(inImage, 'the configuration file is not in the image');
    env['ENC_SERVER_TS_CONFIG_PATH'] = pathInRepository(inImage);
    const secret = env['ENC_SERVER_TS_BESERVERCONFIGS_MONGOURI_FILE'];
    if (secret !== undefined) {
      const inVolume = sourceInVolume(name, secret) ?? '';
      assert.ok(inVolume.startsWith('be-secrets/'), secret);
      const path = inVolume.replace('be-secrets', join(folder, 'be'));
      env['ENC_SERVER_TS_BESERVERCONFIGS_MONGOURI_FILE'] = path;
    }
    const { config, warnings } = await loadConfig({ env });
    assert.deepEqual(warnings, []);
    return config;
  });
}

/** `/run/secrets/be/x` as `be-secrets/x`, by the volumes of the service. */
function sourceInVolume(name: string, path: string): string | undefined {
  for (const volume of service(name).volumes ?? []) {
    const [source = '', target = ''] = volume.split(':');
    if (path === target || path.startsWith(`${target}/`)) return source + path.slice(target.length);
  }
  return undefined;
}

describe('docker-compose.yml', () => {
  it('has the services, each of them hardened', () => {
    assert.deepEqual(Object.keys(services).sort(), ['be', 'fe', 'mongo', 'mongo-init', 'secrets']);
    // read_only, cap_drop and no-new-privileges are demanded by the schema itself.
    for (const [name, { user, cap_add }] of Object.entries(services)) {
      if (name === 'secrets') continue;
      assert.notEqual(user?.split(':')[0], '0', name);
      assert.equal(cap_add, undefined, name);
    }
    assert.equal(composeSchema.safeParse({ ...file, servises: {} }).success, false);
  });

  it('runs commands of the program in an image that is built here', async () => {
    for (const [name, command] of [
      ['fe', 'fe-server'],
      ['be', 'be-server'],
    ] as const) {
      const { build, image } = service(name);
      assert.ok(readDockerfile().some((stage) => stage.name === build?.target));
      assert.equal(image.split(':')[0], JSON.parse(readRepository('package.json')).name);
      assert.deepEqual(service(name).command, [command]);
      const { code, stdout } = await run('enc-server', [command, '--help']);
      assert.equal(code, EXIT.done);
      assert.match(stdout.toString(), new RegExp(`^Usage: ${command} `));
    }
  });

  it('starts in order: secrets, MongoDB, its replica set, back end, front end', () => {
    const chain: [string, string, string][] = [
      ['fe', 'be', 'service_healthy'],
      ['be', 'mongo-init', 'service_completed_successfully'],
      ['mongo-init', 'mongo', 'service_healthy'],
      ['mongo', 'secrets', 'service_completed_successfully'],
    ];
    for (const [name, dependency, condition] of chain) {
      assert.deepEqual(service(name).depends_on, { [dependency]: { condition } });
      if (condition === 'service_healthy') assert.ok(service(dependency).healthcheck, dependency);
      // What has to end must not be started again for having ended.
      else assert.equal(service(dependency).restart, undefined, dependency);
    }
  });

  it('publishes both ports on loopback, where the clients of the host look', async () => {
    const { config: host } = await loadConfig({
      file: pathInRepository('config/config.json'),
      env: { HOME: '/home/u' },
    });
    const published = (name: string) => service(name).ports?.[0]?.split(':') ?? [];
    const { feServerConfigs } = await configOf('fe');
    const { beServerConfigs } = await configOf('be');
    for (const [[, port, inside], server, client] of [
      [published('fe'), feServerConfigs, host.feClientConfigs],
      [published('be'), beServerConfigs, host.beClientConfigs],
    ] as const) {
      assert.equal(inside, String(server.port));
      assert.equal(client.serverAddr, `localhost:${port}`);
      assert.deepEqual([server.host, server.allowOpen], ['0.0.0.0', true]);
    }
    for (const name of ['mongo', 'mongo-init', 'secrets']) {
      assert.equal(service(name).ports, undefined, name);
    }
  });

  it('has the front end call the back end by its service, on a network of both', async () => {
    const { beClientConfigs } = await configOf('fe');
    const { beServerConfigs } = await configOf('be');
    assert.equal(beClientConfigs.serverAddr, `be:${beServerConfigs.port}`);
    assert.deepEqual(service('fe').networks, ['servers']);
    assert.deepEqual(service('be').networks, ['servers', 'database']);
    assert.deepEqual(service('mongo').networks, ['database']);
    assert.equal(file.networks['database']?.internal, true);
    assert.equal(service('secrets').network_mode, 'none');
  });

  it('has the back end call MongoDB as the user and replica set that are made', async () => {
    const { beServerConfigs } = await configOf('be');
    assert.equal(beServerConfigs.store, 'mongo');
    const uri = new URL(beServerConfigs.mongoURI);
    const member = service('mongo-init').environment?.['REPLICA_SET_MEMBER'];
    assert.equal(uri.host, member);
    assert.equal(uri.hostname, 'mongo');
    assert.deepEqual(service('secrets').entrypoint?.slice(-2), ['/secrets', member]);
    assert.equal(uri.username, INIT.user);
    assert.equal(uri.pathname, `/${INIT.database}`);
    assert.equal(beServerConfigs.mongoDatabase, INIT.database);
    assert.equal(uri.searchParams.get('replicaSet'), INIT.replicaSet);
    const mongod = service('mongo').command ?? [];
    assert.equal(mongod[mongod.indexOf('--replSet') + 1], INIT.replicaSet);
    const keyfile = mongod[mongod.indexOf('--keyFile') + 1] ?? '';
    assert.equal(sourceInVolume('mongo', keyfile), 'mongo-secrets/keyfile');
  });

  it('asks each server for its health at its own port', async () => {
    for (const [name, port] of [
      ['fe', (await configOf('fe')).feServerConfigs.port],
      ['be', (await configOf('be')).beServerConfigs.port],
    ] as const) {
      const [, node, script = '', asked] = service(name).healthcheck?.test ?? [];
      assert.deepEqual([node, asked], ['node', String(port)]);
      assert.equal(sourceOfImageFile(script), 'deployments/docker/ping.js');
    }
  });

  it('lets what is under way end before a server is killed', async () => {
    for (const name of ['fe', 'be']) {
      const config = await configOf(name);
      const graceMs = Number.parseInt(service(name).stop_grace_period ?? '', 10) * 1_000;
      assert.ok(graceMs > config.feServerConfigs.drainTimeoutMs);
      assert.ok(graceMs > config.beServerConfigs.drainTimeoutMs);
    }
  });

  it('keeps keyring, records and secrets in volumes, each where its reader looks', async () => {
    const { feServerConfigs } = await configOf('fe');
    assert.equal(sourceInVolume('fe', feServerConfigs.keyring), 'keyring/fe/keyring.json');
    assert.equal(sourceInVolume('mongo', '/data/db'), 'mongo-data');
    const secretsFolder = service('mongo-init').environment?.['SECRETS_DIR'] ?? '';
    for (const secret of ['root-password', 'be-password']) {
      const path = `${secretsFolder}/${secret}`;
      assert.equal(sourceInVolume('mongo-init', path), `mongo-secrets/${secret}`);
    }
    const named = Object.values(services).flatMap(({ volumes = [] }) => volumes);
    for (const volume of named) {
      const [source = ''] = volume.split(':');
      if (source.startsWith('./')) assert.ok(existsSync(pathInRepository(source)), source);
      else assert.ok(Object.hasOwn(file.volumes, source), source);
    }
    for (const volume of Object.keys(file.volumes)) {
      assert.ok(
        named.some((one) => one.startsWith(`${volume}:`)),
        volume,
      );
    }
  });

  it('shows a secret only to those who need it, who cannot change it', () => {
    const readers = (volume: string) =>
      Object.entries(services)
        .filter(([, { volumes = [] }]) => volumes.some((one) => one.startsWith(`${volume}:`)))
        .map(([name]) => name)
        .sort();
    assert.deepEqual(readers('be-secrets'), ['be', 'secrets']);
    assert.deepEqual(readers('mongo-secrets'), ['mongo', 'mongo-init', 'secrets']);
    assert.deepEqual(readers('keyring'), ['fe']);
    for (const [name, { volumes = [] }] of Object.entries(services)) {
      const secrets = volumes.filter((one) => one.includes('-secrets:'));
      if (name !== 'secrets') for (const one of secrets) assert.match(one, /:ro$/, name);
    }
  });

  it('makes secrets for the users that the images run as', () => {
    const { environment = {}, cap_add } = service('secrets');
    assert.equal(environment['BE_OWNER'], oneOf(prod, 'USER').args[0]);
    assert.equal(environment['MONGO_OWNER'], service('mongo').user);
    assert.equal(environment['MONGO_OWNER'], service('mongo-init').user);
    assert.deepEqual(cap_add, ['CHOWN', 'DAC_OVERRIDE']);
  });

  it('makes the first user from loopback, the only place that may', () => {
    assert.equal(service('mongo-init').network_mode, 'service:mongo');
    const script = service('mongo-init').entrypoint?.at(-1) ?? '';
    assert.equal(sourceInVolume('mongo-init', script), './deployments/mongo/init-mongo.js');
    assert.match(readRepository('deployments/mongo/init-mongo.js'), /'mongodb:\/\/127\.0\.0\.1:/);
  });
});
