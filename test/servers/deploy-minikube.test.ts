import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type Config, loadConfig } from '../../lib/config/load.ts';
import { EXIT } from '../../lib/errors.ts';
import {
  oneOf,
  pairsOf,
  readDockerfile,
  type Stage,
  sourceOfImageFile,
} from '../helpers/dockerfile.ts';
import {
  type KubeContainer,
  type KubeObject,
  type KubePod,
  kubeSchema,
} from '../helpers/kube-schema.ts';
import { INIT } from '../helpers/mongo-user.ts';
import { run } from '../helpers/programs.ts';
import { pathInRepository, readRepository, readYamlDocuments } from '../helpers/repository.ts';
import { withSecrets } from '../helpers/secrets-folder.ts';

const FE = 'enc-server-ts-fe';
const BE = 'enc-server-ts-be';
const DB = 'enc-server-ts-db';
const FOLDER = 'deployments/minikube';
const start = readRepository(`${FOLDER}/start_cluster.sh`);
const prod = readDockerfile().find(({ name }) => name === 'prod') as Stage;
const objects: KubeObject[] = [FE, BE, DB].flatMap((name) =>
  readYamlDocuments(`${FOLDER}/${name}.yaml`).map((document) => kubeSchema.parse(document)),
);

function object<K extends KubeObject['kind']>(kind: K, name: string) {
  const found = objects.find((one) => one.kind === kind && one.metadata.name === name);
  assert.ok(found, `no ${kind} ${name}`);
  return found as Extract<KubeObject, { kind: K }>;
}

function podOf(name: string): KubePod {
  const owner = name === DB ? object('StatefulSet', name) : object('Deployment', name);
  return owner.spec.template.spec;
}

function containerOf(name: string): KubeContainer {
  return podOf(name).containers[0];
}

function envOf(name: string): Record<string, string> {
  return Object.fromEntries((containerOf(name).env ?? []).map((one) => [one.name, one.value]));
}

/** What lies at a path of a container: the volume, and what of it. */
function mountAt(name: string, path: string) {
  const mount = containerOf(name).volumeMounts.find(({ mountPath }) =>
    path.startsWith(`${mountPath}/`),
  );
  const volume = podOf(name).volumes.find((one) => one.name === mount?.name);
  return { volume, rest: path.slice((mount?.mountPath.length ?? 0) + 1) };
}

async function configOf(name: string): Promise<Config> {
  const env: NodeJS.ProcessEnv = { HOME: '/home/node', ...pairsOf(prod, 'ENV'), ...envOf(name) };
  const inImage = sourceOfImageFile(env['ENC_SERVER_TS_CONFIG_PATH'] ?? '');
  assert.ok(inImage, 'the configuration file is not in the image');
  env['ENC_SERVER_TS_CONFIG_PATH'] = pathInRepository(inImage);
  const address = /^DB_ADDRESS=(.+)$/m.exec(start)?.[1] ?? '';
  return await withSecrets(address, async (folder) => {
    const variable = 'ENC_SERVER_TS_BESERVERCONFIGS_MONGOURI_FILE';
    const secret = env[variable];
    if (secret !== undefined) {
      const { volume, rest } = mountAt(name, secret);
      assert.deepEqual(volume?.secret?.items, [{ key: rest, path: rest }]);
      env[variable] = join(folder, 'be', rest);
    }
    const { config, warnings } = await loadConfig({ env });
    assert.deepEqual(warnings, []);
    return config;
  });
}

describe('deployments/minikube', () => {
  it('has one file a service, applied in order by start_cluster.sh, and nothing unknown', () => {
    const files = readdirSync(pathInRepository(FOLDER)).filter((one) => one.endsWith('.yaml'));
    assert.deepEqual(files.sort(), [`${BE}.yaml`, `${DB}.yaml`, `${FE}.yaml`]);
    const applied = [...start.matchAll(/^apply (\S+)$/gm)].map((match) => match[1]);
    assert.deepEqual(applied, [DB, BE, FE]);
    const [first] = readYamlDocuments(`${FOLDER}/${FE}.yaml`) as object[];
    assert.equal(kubeSchema.safeParse({ ...first, specs: {} }).success, false);
  });

  it('gives the front end the name that the README looks for, to one pod alone', () => {
    assert.equal(object('Deployment', FE).spec.replicas, 1);
    const pods = objects.filter(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet');
    const found = pods.filter(({ metadata }) => `${metadata.name}-5d4f-x`.includes(FE));
    assert.equal(found.length, 1);
    // The keyring's volume is for one pod, so the old one goes before the new one comes.
    assert.deepEqual(object('Deployment', FE).spec.strategy, { type: 'Recreate' });
  });

  it('selects its own pods', () => {
    for (const name of [FE, BE, DB]) {
      const owner = name === DB ? object('StatefulSet', name) : object('Deployment', name);
      assert.deepEqual(owner.spec.selector.matchLabels, { app: name });
      assert.deepEqual(owner.spec.template.metadata.labels, { app: name });
      assert.deepEqual(object('Service', name).spec.selector, { app: name });
      assert.deepEqual(object('NetworkPolicy', name).spec.podSelector.matchLabels, { app: name });
    }
    assert.equal(object('StatefulSet', DB).spec.serviceName, DB);
  });

  it('runs commands of the image that start_cluster.sh builds', async () => {
    const image = /^IMAGE=(.+)$/m.exec(start)?.[1];
    for (const [name, command] of [
      [FE, 'fe-server'],
      [BE, 'be-server'],
    ] as const) {
      const container = containerOf(name);
      assert.deepEqual([container.image, container.imagePullPolicy], [image, 'Never']);
      assert.deepEqual(container.args, [command]);
      const { code, stdout } = await run('enc-server', [command, '--help']);
      assert.equal(code, EXIT.done);
      assert.match(stdout.toString(), new RegExp(`^Usage: ${command} `));
      const { runAsUser, runAsGroup } = podOf(name).securityContext;
      assert.equal(`${runAsUser}:${runAsGroup}`, oneOf(prod, 'USER').args[0]);
    }
  });

  it('uses the ports of the configuration everywhere', async () => {
    for (const [name, port] of [
      [FE, (await configOf(FE)).feServerConfigs.port],
      [BE, (await configOf(BE)).beServerConfigs.port],
      [DB, 27017],
    ] as const) {
      const { ports, startupProbe, livenessProbe, readinessProbe } = containerOf(name);
      assert.deepEqual(ports, [{ containerPort: port }]);
      assert.deepEqual(object('Service', name).spec.ports, [{ port, targetPort: port }]);
      assert.equal(startupProbe?.tcpSocket?.port, port);
      assert.equal(livenessProbe?.tcpSocket?.port, port);
      const [rule] = object('NetworkPolicy', name).spec.ingress;
      assert.deepEqual(rule?.ports, [{ port, protocol: 'TCP' }]);
      if (name === DB) continue;
      const [node, script = '', asked] = readinessProbe?.exec?.command ?? [];
      assert.deepEqual([node, asked], ['node', String(port)]);
      assert.equal(sourceOfImageFile(script), 'deployments/docker/ping.js');
    }
  });

  it('connects front end, back end and MongoDB by their services', async () => {
    const fe = await configOf(FE);
    const be = await configOf(BE);
    assert.equal(fe.beClientConfigs.serverAddr, `${BE}:${be.beServerConfigs.port}`);
    assert.equal(fe.feClientConfigs.serverAddr, `${FE}:${fe.feServerConfigs.port}`);
    assert.equal(be.beServerConfigs.store, 'mongo');
    const uri = new URL(be.beServerConfigs.mongoURI);
    assert.equal(uri.host, `${DB}-0.${DB}:27017`);
    assert.equal(uri.host, envOf(DB)['REPLICA_SET_MEMBER']);
    assert.equal(uri.username, INIT.user);
    assert.equal(uri.pathname, `/${INIT.database}`);
    assert.equal(uri.searchParams.get('replicaSet'), INIT.replicaSet);
    assert.equal(be.beServerConfigs.mongoDatabase, INIT.database);
    const mongod = containerOf(DB).args ?? [];
    assert.equal(mongod[mongod.indexOf('--replSet') + 1], INIT.replicaSet);
  });

  it('lets only the front end reach the back end, and only the back end MongoDB', () => {
    const peers = (name: string, way: 'ingress' | 'egress') => {
      const [rule] = object('NetworkPolicy', name).spec[way];
      const list = rule !== undefined && 'from' in rule ? rule.from : undefined;
      const to = rule !== undefined && 'to' in rule ? rule.to : undefined;
      return (list ?? to)?.map(({ podSelector }) => podSelector.matchLabels.app);
    };
    assert.deepEqual(peers(BE, 'ingress'), [FE]);
    assert.deepEqual(peers(DB, 'ingress'), [BE, DB]);
    assert.deepEqual(peers(FE, 'egress'), [BE]);
    assert.deepEqual(peers(BE, 'egress'), [DB]);
    assert.deepEqual(peers(DB, 'egress'), [DB]);
    // The second rule of each is for names alone: it names no peer, so it must name port 53.
    for (const name of [FE, BE, DB]) {
      const { ingress, egress } = object('NetworkPolicy', name).spec;
      assert.equal(ingress.length, 1);
      assert.deepEqual(
        egress.slice(1).flatMap(({ ports }) => ports.map(({ port }) => port)),
        [53, 53],
      );
    }
    // Without a network plugin that knows them, policies mean nothing.
    assert.match(start, /^minikube start --cni=calico$/m);
  });

  it('keeps the keyring and the database on volumes that outlive their pods', async () => {
    const { keyring } = (await configOf(FE)).feServerConfigs;
    const { volume, rest } = mountAt(FE, keyring);
    assert.equal(rest, 'fe/keyring.json');
    const claim = volume?.persistentVolumeClaim?.claimName ?? '';
    assert.ok(object('PersistentVolumeClaim', claim));
    // Without this, the next mount makes the keyring readable for a group: KEYRING_UNSAFE.
    assert.equal(podOf(FE).securityContext.fsGroupChangePolicy, 'OnRootMismatch');
    const [data] = object('StatefulSet', DB).spec.volumeClaimTemplates;
    const mount = containerOf(DB).volumeMounts.find(({ name }) => name === data?.metadata.name);
    assert.equal(mount?.mountPath, '/data/db');
  });

  it('mounts only what is defined, and from the secret only what a pod needs', () => {
    const claims = object('StatefulSet', DB).spec.volumeClaimTemplates.map(
      (one) => one.metadata.name,
    );
    for (const name of [FE, BE, DB]) {
      const { volumes, containers, initContainers = [] } = podOf(name);
      const known = [...volumes.map((one) => one.name), ...(name === DB ? claims : [])];
      const mounts = [...containers, ...initContainers].flatMap((one) => one.volumeMounts);
      for (const mount of mounts) assert.ok(known.includes(mount.name), mount.name);
      for (const { secret } of volumes) {
        if (secret === undefined) continue;
        assert.match(start, new RegExp(`create secret generic ${secret.secretName} `));
        const keys = secret.items.map(({ key }) => key);
        const needed = name === BE ? ['mongo-uri'] : ['keyfile', 'root-password', 'be-password'];
        assert.deepEqual(keys, needed);
      }
    }
    assert.equal(
      podOf(FE).volumes.some(({ secret }) => secret !== undefined),
      false,
    );
  });

  it('gives mongod its key file for itself alone, and its first users', () => {
    const [init] = podOf(DB).initContainers ?? [];
    const [tool, mode, from = '', to = ''] = init?.command ?? [];
    assert.deepEqual([tool, mode], ['install', '--mode=0400']);
    assert.equal(mountAt(DB, from).volume?.secret?.items[0]?.key, 'keyfile');
    const mongod = containerOf(DB).args ?? [];
    assert.equal(mongod[mongod.indexOf('--keyFile') + 1], to);
    const script = containerOf(DB).lifecycle?.postStart.exec.command.at(-1) ?? '';
    const { volume, rest } = mountAt(DB, script);
    const map = volume?.configMap?.name;
    assert.match(start, new RegExp(`create configmap ${map} `));
    assert.match(start, new RegExp(`--from-file=deployments/mongo/${rest} `));
    assert.equal(mountAt(DB, `${envOf(DB)['SECRETS_DIR']}/root-password`).volume?.name, 'secrets');
  });
});
