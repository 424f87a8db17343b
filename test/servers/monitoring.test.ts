/** deployments/monitoring: rules and dashboard ask for what the servers really count. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { initAudit } from '../../lib/audit/key-files.ts';
import { auditFilesIn } from '../helpers/audit.ts';
import { http } from '../helpers/http.ts';
import { breachesOf, type Registry, registryOf } from '../helpers/promql.ts';
import { filesUnder, readRepository, readYaml } from '../helpers/repository.ts';
import { startServers, type TestServers, temporaryFolder } from '../helpers/servers.ts';

const FOLDER = 'deployments/monitoring';
const DURATION = z.string().regex(/^\d+[smh]$/);

/** What Prometheus takes for a file of rules, as far as it is used here. */
const rulesSchema = z.strictObject({
  groups: z.array(
    z.strictObject({
      name: z.string(),
      rules: z.array(
        z.strictObject({
          alert: z.string().regex(/^EncServer[A-Z][A-Za-z]+$/),
          expr: z.string(),
          for: DURATION.optional(),
          labels: z.strictObject({ severity: z.enum(['critical', 'warning']) }),
          annotations: z.strictObject({ summary: z.string().min(10), runbook: z.string() }),
        }),
      ),
    }),
  ),
});

const scrapeSchema = z.strictObject({
  global: z.strictObject({ scrape_interval: DURATION }),
  rule_files: z.array(z.string()),
  scrape_configs: z.array(
    z.strictObject({
      job_name: z.string(),
      static_configs: z.array(z.strictObject({ targets: z.array(z.string()) })),
    }),
  ),
});

const position = z.strictObject({ h: z.int(), w: z.int(), x: z.int(), y: z.int() });
const dashboardSchema = z.looseObject({
  uid: z.string(),
  templating: z.object({ list: z.array(z.looseObject({ name: z.string() })) }),
  panels: z.array(
    z.looseObject({
      id: z.int(),
      type: z.enum(['row', 'stat', 'timeseries']),
      title: z.string().min(1),
      gridPos: position,
      targets: z.array(z.looseObject({ refId: z.string(), expr: z.string() })).optional(),
    }),
  ),
});

const { rules } = rulesSchema.parse(readYaml(`${FOLDER}/alerts.yaml`)).groups[0] ?? { rules: [] };
const dashboard = dashboardSchema.parse(JSON.parse(readRepository(`${FOLDER}/dashboard.json`)));
const shown = dashboard.panels.filter(({ type }) => type !== 'row');

let folder: string;
let servers: TestServers;
let registry: Registry;

before(async () => {
  folder = await temporaryFolder();
  const files = auditFilesIn(folder);
  await initAudit(files);
  const { path: auditLog, keyFile: auditKeyFile } = files;
  servers = await startServers({
    feServerConfigs: { auditLog, auditKeyFile, auditFailure: 'open' },
  });
  await http(servers.fe.port, 'PUT', '/v1/records/a', { body: 'hi' });
  const pages = [servers.fe, servers.be].map(({ port }) => http(port, 'GET', '/metrics'));
  registry = registryOf(...(await Promise.all(pages)).map(({ body }) => body.toString()));
});
after(async () => {
  await servers.close();
  await rm(folder, { recursive: true });
});

describe('alerts.yaml', () => {
  it('has rules, each name once', () => {
    assert.ok(rules.length >= 10);
    assert.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length);
  });

  for (const { alert, expr, annotations } of rules) {
    it(`${alert} asks for what is counted, and says where it is explained`, () => {
      assert.deepEqual(breachesOf(expr, registry), []);
      assert.equal(annotations.runbook, `docs/OPERATIONS.md#${alert.toLowerCase()}`);
      for (const [, label = ''] of annotations.summary.matchAll(/\$labels\.(\w+)/g)) {
        assert.ok(
          [...registry.values()].some((labels) => labels.has(label)),
          label,
        );
      }
    });
  }

  it('has each of its rules explained in OPERATIONS.md, and no other', () => {
    const [, alerts = ''] = readRepository('docs/OPERATIONS.md').split('\n## Alerts\n');
    const headings = [...alerts.matchAll(/^### (.*)$/gm)].map(([, name]) => name);
    assert.deepEqual(
      headings,
      rules.map(({ alert }) => alert),
    );
  });

  it('finds the servers under the names that prometheus.yaml gives them', () => {
    const { scrape_configs, rule_files } = scrapeSchema.parse(
      readYaml(`${FOLDER}/prometheus.yaml`),
    );
    const [, pattern = ''] =
      /job=~"([^"]+)"/.exec(rules.find(({ alert }) => alert === 'EncServerDown')?.expr ?? '') ?? [];
    const names = scrape_configs.map(({ job_name }) => job_name);
    assert.deepEqual(names, ['enc-server-fe', 'enc-server-be']);
    for (const name of names) assert.match(name, new RegExp(`^(?:${pattern})$`));
    const files = filesUnder(FOLDER);
    for (const file of rule_files) assert.ok(files.includes(`${FOLDER}/${file}`), file);
  });
});

describe('dashboard.json', () => {
  it('has panels, each with an ID and a place of its own', () => {
    assert.ok(shown.length >= 15);
    const ids = dashboard.panels.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    const taken = new Map<string, string>();
    for (const { title, gridPos } of dashboard.panels) {
      assert.ok(gridPos.x + gridPos.w <= 24, title);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.equal(taken.get(`${x} ${y}`), undefined, title);
          taken.set(`${x} ${y}`, title);
        }
      }
    }
  });

  for (const { title, targets } of shown) {
    it(`asks for what is counted: ${title}`, () => {
      assert.ok(targets !== undefined && targets.length > 0);
      for (const { expr } of targets) {
        assert.deepEqual(breachesOf(expr, registry), []);
        // Every panel shows what was chosen above, and nothing else.
        assert.match(expr, /job=~"\$job", instance=~"\$instance"/);
      }
    });
  }

  it('shows what may be chosen', () => {
    const names = dashboard.templating.list.map(({ name }) => name);
    assert.deepEqual(names, ['datasource', 'job', 'instance']);
    const text = JSON.stringify(dashboard);
    for (const [, name = ''] of text.matchAll(/\$\{?(?!__)(\w+)/g)) assert.ok(names.includes(name));
  });
});

describe('breaches that are caught', () => {
  const PLANTED: readonly [expression: string, breach: RegExp][] = [
    ['enc_server_reddy == 0', /no metric enc_server_reddy/],
    ['enc_server_ready{colour="red"}', /no label colour/],
    ['enc_server_requests_total{outcome="BROKEN"}', /outcome is never BROKEN/],
    ['enc_server_requests_total{outcome=~"INTERNAL|BROKEN"}', /outcome is never BROKEN/],
    ['enc_server_requests_total{operation!="stor"}', /operation is never stor/],
    ['sum by (colour) (enc_server_ready)', /nothing has a label colour/],
    ['sum by (outcome) (enc_server_ready)', /nothing has a label outcome/],
    ['rate(enc_server_requests_total[5m]', /no PromQL/],
    ['enc_server_ready ==', /no PromQL/],
    ['enc_server_request_seconds{job="x"}', /no metric enc_server_request_seconds$/],
  ];
  for (const [expression, breach] of PLANTED) {
    it(expression, () => {
      const breaches = breachesOf(expression, registry);
      assert.ok(
        breaches.some((words) => breach.test(words)),
        breaches.join('\n'),
      );
    });
  }
});
