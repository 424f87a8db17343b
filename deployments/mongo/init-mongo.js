/**
 * Makes a fresh mongod a replica set of one with two users; on one that is that already, it
 * changes nothing but the back end's password and roles. For mongosh, on the machine (or in the
 * network namespace) of the mongod: until the first user is there, MongoDB lets only loopback in.
 *
 *   REPLICA_SET_MEMBER=HOST:PORT SECRETS_DIR=FOLDER mongosh --nodb --quiet init-mongo.js
 *
 * HOST:PORT is what clients and mongod itself call this mongod by; the folder is the one that
 * make_secrets.sh calls `mongo`.
 */
const { readFileSync } = require('node:fs');
const { join } = require('node:path');

const ADMIN = 'root';
const BACK_END = { user: 'enc-server-be', database: 'enc-server-ts' };
const REPLICA_SET = 'rs0';
const TRIES = 60;
const PAUSE_MS = 1_000;

function secret(name) {
  return readFileSync(join(process.env.SECRETS_DIR, name), 'utf8').trim();
}

/** Whether it was done; not, if the server says that it failed under this name. */
function unless(codeName, run) {
  try {
    run();
    return true;
  } catch (error) {
    if (error.codeName !== codeName) throw error;
    return false;
  }
}

function retry(what, attempt) {
  for (let left = TRIES; ; left--) {
    try {
      const result = attempt();
      if (result) return result;
    } catch (error) {
      if (left === 1) throw error;
    }
    if (left === 1) throw new Error(`${what}: not within ${TRIES} tries`);
    sleep(PAUSE_MS);
  }
}

const admin = retry('connecting', () =>
  connect('mongodb://127.0.0.1:27017/admin?directConnection=true'),
);
const password = secret('root-password');
const known = unless('AuthenticationFailed', () => admin.auth(ADMIN, password));
const members = [{ _id: 0, host: process.env.REPLICA_SET_MEMBER }];
retry('making the replica set', () => {
  unless('AlreadyInitialized', () =>
    admin.runCommand({ replSetInitiate: { _id: REPLICA_SET, members } }),
  );
  return true;
});
retry('becoming primary', () => admin.hello().isWritablePrimary);
if (!known) {
  admin.createUser({ user: ADMIN, pwd: password, roles: ['root'] });
  admin.auth(ADMIN, password);
}
const database = admin.getSiblingDB(BACK_END.database);
const rights = { pwd: secret('be-password'), roles: ['readWrite'] };
const isNew = unless('Location51003', () =>
  database.createUser({ user: BACK_END.user, ...rights }),
);
if (!isNew) database.updateUser(BACK_END.user, rights);
print(`replica set ${REPLICA_SET} is ready`);
