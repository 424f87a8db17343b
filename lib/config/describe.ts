/** Generates `docs/CONFIG.md` from the schema. */

import { OTHER_VARIABLES, variableOf } from './environment.ts';
import { FAMILY_SETTINGS } from './file.ts';
import { factsOf, keysOf, SECTION_NAMES, type SectionName } from './schema.ts';

const INTRODUCTION = `# Configuration

This page is generated from \`lib/config/schema.ts\`; a test keeps it current.

Every setting has a default, so nothing needs to be configured. Settings come from these places,
in this order; a later one overrides an earlier one:

1. the defaults below,
2. the configuration file: the one named by \`--config\`, else by \`ENC_SERVER_TS_CONFIG_PATH\`,
   else \`config/config.json\` of the package,
3. the environment: \`ENC_SERVER_TS_<SECTION>_<KEY>\` in upper case; an empty variable counts as
   not set (except where its row says otherwise),
4. the command line.

The file is YAML or JSON, which may have trailing commas and comments that begin with \`#\`. The
same name twice is an error, and so is a name that is not on this page: the error says which known
name is nearest.
Errors name the place of a setting, never its value. A program checks the values of the sections
that it uses, so that a mistake in the settings of one server does not stop another, or a client.

- Numbers and booleans may be strings. A boolean is one of \`true\`, \`yes\`, \`on\`, \`1\`, or one
  of \`false\`, \`no\`, \`off\`, \`0\`.
- Durations are milliseconds, or have a unit: \`500ms\`, \`10s\`, \`10m\`, \`1h\`, \`1d\`.
- Sizes are bytes, or have a unit: \`64 KiB\`, \`8MiB\`, \`1GiB\`.
- A secret can also be kept in a file, outside the environment and the configuration: its variable
  with \`_FILE\` at the end names that file. A line end at the end of the file is not part of the
  secret. Giving both the secret and its file is an error. The file is not read by a program that
  does not use the section, nor where a flag gives the secret.
`;

const ABOUT: Readonly<Record<SectionName, string>> = {
  feClientConfigs: 'Clients of the front end.',
  feServerConfigs: 'The front end: holds the keyring, stores nothing.',
  beServerConfigs: 'The back end: stores sealed records, holds no key.',
  beClientConfigs: 'Clients of the back end, the front end among them.',
  testParams: 'What `fe-client` and `be-client` store when they are started without a command.',
  log: 'The log of both servers, one JSON object a line.',
};

/** The whole page, in Markdown. */
export function describeConfig(): string {
  const sections = SECTION_NAMES.map(describeSection);
  return [INTRODUCTION, ...sections, describeOthers(), describeFamily()].join('\n');
}

function describeSection(section: SectionName): string {
  const rows = keysOf(section).map((key) => describeKey(section, key));
  return `## ${section}

${ABOUT[section]} Variables: \`${variableOf(section, '<KEY>')}\`.

| key | value | default | |
| --- | --- | --- | --- |
${rows.join('')}`;
}

function describeKey(section: SectionName, key: string): string {
  const facts = factsOf(section, key);
  if (facts === undefined) return '';
  const notes = [facts.about];
  if (facts.secret) {
    const variable = `${variableOf(section, key)}_FILE`;
    notes.push(`A secret: never shown, and \`${variable}\` may name its file.`);
  }
  if (facts.emptyIsValue) notes.push('The variable may be set to nothing.');
  return `| \`${key}\` | ${facts.expects} | ${code(facts.fallback)} | ${notes.join(' ')} |\n`;
}

function code(words: string): string {
  return words.includes('`') ? words : `\`${words}\``;
}

function describeOthers(): string {
  const rows = Object.entries(OTHER_VARIABLES).map(([name, about]) => `- \`${name}\`: ${about}\n`);
  return `## Other variables

${rows.join('')}
Any other variable that begins with \`ENC_SERVER_TS_\` draws a warning, except those that Kubernetes
sets for services (\`ENC_SERVER_TS_BE_SERVICE_HOST\`, \`ENC_SERVER_TS_BE_PORT=tcp://…\`).
`;
}

function describeFamily(): string {
  const rows = Object.entries(FAMILY_SETTINGS).map(([name, why]) => `- \`${name}\`: ${why}.\n`);
  return `## Files of the Go and Python servers

They load unchanged. The following settings are ignored, with one warning each:

${rows.join('')}`;
}
