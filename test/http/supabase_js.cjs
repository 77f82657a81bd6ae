// What an application does with @supabase/supabase-js, with tokens that jose has
// signed, and what it has to get.  Each line of output is a case: {name, got, expected}.
//   supabase_js.cjs CLIENTS DIRECTORY keys       makes keys, and sets of their public parts, in DIRECTORY
//   supabase_js.cjs CLIENTS DIRECTORY work URL   reads and writes at URL
//   supabase_js.cjs CLIENTS DIRECTORY count URL ID...   tells which of the keys ID... count
'use strict';

const fs = require('node:fs');
const [clients, directory, what, url, ...ids] = process.argv.slice(2);
const { createClient } = require(`${clients}/node_modules/@supabase/supabase-js`);
const jose = require(`${clients}/node_modules/jose`);

const PUBLISHABLE = 'sb_publishable_x';
const ALGORITHMS = { hs256: 'HS256', hs384: 'HS384', hs512: 'HS512', rs256: 'RS256', es256: 'ES256', eddsa: 'EdDSA', old: 'ES256', new: 'ES256' };

function say(name, got, expected) {
  process.stdout.write(`${JSON.stringify({ name, got, expected })}\n`);
}

// The data of an answer, or the status and code of its error.
async function data(name, query, expected) {
  const answer = await query;
  say(name, answer.error ? `${answer.status} ${answer.error.code}` : answer.data, expected);
  return answer;
}

// ---------------------------------------------------------------------------
// Keys and tokens

async function makeKeys() {
  const keys = {};

  for (const [kid, alg] of Object.entries(ALGORITHMS)) {
    const secret = alg.startsWith('HS') ? await jose.generateSecret(alg, { extractable: true }) : null;
    const pair = secret ? { privateKey: secret, publicKey: secret } : await jose.generateKeyPair(alg, { crv: 'Ed25519', extractable: true });

    keys[kid] = { private: { ...await jose.exportJWK(pair.privateKey), kid, alg }, public: { ...await jose.exportJWK(pair.publicKey), kid, alg, use: 'sig' } };
  }
  const set = (...without) => JSON.stringify({ keys: Object.entries(keys).filter(([kid]) => !without.includes(kid)).map(([, key]) => key.public) });
  fs.writeFileSync(`${directory}/keys`, JSON.stringify(keys), { mode: 0o600 });
  fs.writeFileSync(`${directory}/before.json`, set('new'));
  fs.writeFileSync(`${directory}/both.json`, set());
  fs.writeFileSync(`${directory}/after.json`, set('old'));
}

async function sign(kid, claims, header = {}) {
  const { private: key } = JSON.parse(fs.readFileSync(`${directory}/keys`))[kid];
  const exp = Math.floor(Date.now() / 1000) + 3600;

  return new jose.SignJWT({ role: 'web', exp, ...claims }).setProtectedHeader({ alg: key.alg, typ: 'JWT', kid, ...header }).sign(await jose.importJWK(key, key.alg));
}

// ---------------------------------------------------------------------------
// Clients

// No sockets: node 20 has no WebSocket, and the client wants to be given one.
const common = { auth: { persistSession: false, autoRefreshToken: false }, realtime: { transport: class {} } };

// With a token of another issuer, as applications have it.
const as = (token, db = {}) => createClient(url, PUBLISHABLE, { ...common, accessToken: async () => token, db: { schema: 'api', ...db } });

// With a key alone, which is sent as "apikey" and as bearer.
const withKey = (key) => createClient(url, key, { ...common, db: { schema: 'api' } });

// ---------------------------------------------------------------------------

async function rows(a, b) {
  const films = () => a.from('films');

  let answer = await films().insert([1, 2, 3, 4, 5].map((id) => ({ id, tenant: 'a', name: `film ${id}`, embedding: [id, 1, 2] })), { count: 'exact' });
  say('insert', [answer.status, answer.statusText, answer.count, answer.error], [201, 'Created', 5, null]);
  await data('insert and select', b.from('films').insert({ id: 11, tenant: 'b', name: 'of b' }).select('id,tenant').single(), { id: 11, tenant: 'b' });
  await data('a tenant sees its own', films().select('id').order('id'), [1, 2, 3, 4, 5].map((id) => ({ id })));
  await data('and so does the other', b.from('films').select('id'), [{ id: 11 }]);
  await data('a row of the other tenant', films().insert({ id: 12, tenant: 'b' }), '403 42501');
  await data("an update of the other's", films().update({ name: 'x' }).eq('id', 11).select('id'), []);
  await data('an update that gives a row away', films().update({ tenant: 'b' }).eq('id', 1), '403 42501');
  await data("an upsert onto the other's", films().upsert({ id: 11, tenant: 'a', name: 'x' }), '403 42501');
  answer = await films().delete({ count: 'exact' }).eq('id', 11);
  say("a delete of the other's", [answer.status, answer.count], [204, 0]);
  await data('which is as it was', b.from('films').select('name').single(), { name: 'of b' });

  await data('filters', films().select('id').gt('id', 1).or('name.eq."film 2",name.like.*4').not('id', 'eq', 4), [{ id: 2 }]);
  await data('order and limit', films().select('id').order('name', { ascending: false }).limit(2), [{ id: 5 }, { id: 4 }]);
  answer = await data('range', films().select('id', { count: 'exact' }).order('id').range(1, 2), [{ id: 2 }, { id: 3 }]);
  say('its count and status', [answer.count, answer.status], [5, 206]);
  answer = await films().select('*', { count: 'exact', head: true });
  say('head', [answer.count, answer.data, answer.status], [5, null, 200]);
  await data('a range beyond the end', films().select('id', { count: 'exact' }).range(10, 12), '416 PGRST103');
  await data('single', films().select('name').eq('id', 3).single(), { name: 'film 3' });
  await data('single of several', films().select('name').single(), '406 PGRST116');
  await data('maybeSingle of none', films().select('name').eq('id', 99).maybeSingle(), null);
  await data('csv', films().select('id,name').lt('id', 3).order('id').csv(), 'id,name\n1,film 1\n2,film 2');
  answer = await films().select('id').eq('id', 1).explain({ format: 'json', analyze: true });
  say('explain', answer.data && Object.keys(answer.data[0]).slice(0, 1), ['Plan']);
  answer = await films().select('id').eq('id', 1).explain();
  say('explain as text', /Filter|Index Cond/.test(answer.data), true);
  await data('the nearest', films().select('id,distance:embedding.l2.[3,1,2]').order('embedding.l2.[3,1,2]').limit(1), [{ id: 3, distance: 0 }]);
  await data('update', films().update({ name: 'new' }).eq('id', 2).select('name').single(), { name: 'new' });
  await data('upsert', films().upsert([{ id: 2, tenant: 'a', name: 'newer' }, { id: 6, tenant: 'a', name: 'six' }]).select('id,name'), [{ id: 2, name: 'newer' }, { id: 6, name: 'six' }]);
  await data('upsert, ignoreDuplicates', films().upsert([{ id: 6, tenant: 'a', name: 'x' }, { id: 7, tenant: 'a', name: 'seven' }], { ignoreDuplicates: true }).select('id'), [{ id: 7 }]);
  await data('delete', films().delete().gte('id', 6).select('id').then((deleted) => ({ ...deleted, data: deleted.data?.map(({ id }) => id).sort() })), [6, 7]);
  await data('a collection', a.schema('collections').from('notes').insert({ id: 'n', data: [1, 2, 3], metadata: { tenant: 'a' } }).select('id,data,metadata').single(),
    { id: 'n', data: [1, 2, 3], metadata: { tenant: 'a' } });
  await data('is there for its tenant', a.schema('collections').from('notes').select('id').eq('metadata->>tenant', 'a'), [{ id: 'n' }]);
  await data('and not for another', b.schema('collections').from('notes').select('id'), []);
}

async function errors(a) {
  const films = () => a.from('films');
  const { error } = await films().select('nam');

  say('an error has its members', Object.keys(error).sort(), ['code', 'details', 'hint', 'message']);
  await data('a column that is none', films().select('nam'), '400 42703');
  await data('a table that is none', a.from('film').select(), '404 PGRST205');
  await data('a table that the role may not read', a.from('secrets').select(), '403 42501');
  await data('a schema that is not served', a.schema('pg_catalog').from('pg_class').select(), '406 PGRST106');
  await data('a value that is none', films().select('id').eq('id', 'x'), '400 22P02');
  await data('a duplicate', films().insert({ id: 1, tenant: 'a' }), '409 23505');
  await data('null where none may be', films().insert({ tenant: 'a' }), '400 23502');
  await data('a vector of another dimension', films().insert({ id: 51, tenant: 'a', embedding: [1, 2] }), '400 22000');
  await data('a function', a.rpc('f'), '404 PGRST125');
  say('throwOnError', await films().select('nam').throwOnError().then(() => null, (thrown) => thrown.code), '42703');
}

// "slow" sleeps for a minute.
async function times(token) {
  const a = as(token);
  const started = Date.now();

  let answer = await a.from('slow').select().abortSignal(AbortSignal.timeout(300)).retry(false);
  say('abortSignal', [answer.data, /abort|timeout/i.test(answer.error?.message)], [null, true]);
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 300);
  answer = await a.from('slow').select().abortSignal(controller.signal).retry(false);
  say('an abort by hand', [answer.data, /abort/i.test(answer.error?.message)], [null, true]);
  answer = await as(token, { timeout: 300 }).from('slow').select().retry(false);
  say("the client's own time limit", [answer.data, /abort|timeout/i.test(answer.error?.message)], [null, true]);
  await data('the time limit of a role', as(await sign('hs256', { role: 'hasty' })).from('slow').select().retry(false), '500 57014');
  say('nobody has waited for the end', Date.now() - started < 30000, true);
  await data('and the next request is served', a.from('films').select('id').eq('id', 1), [{ id: 1 }]);
}

async function tokens() {
  const who = (token) => as(token).from('who').select('who,sub').single();
  const past = Math.floor(Date.now() / 1000) - 60;

  for (const [kid, alg] of Object.entries(ALGORITHMS)) {
    if (kid !== 'new') {
      await data(`${alg} (${kid})`, who(await sign(kid, { sub: kid })), { who: 'web', sub: kid });
      await data(`${alg} (${kid}) without a kid`, who(await sign(kid, { sub: kid }, { kid: undefined })), { who: 'web', sub: kid });
    }
  }
  await data('the kid of another key', who(await sign('es256', {}, { kid: 'old' })), '401 PGRST301');
  await data('a key that is not in the set', who(await sign('new', {})), '401 PGRST301');
  await data('expired', who(await sign('rs256', { exp: past })), '401 PGRST303');
  await data('not yet valid', who(await sign('rs256', { nbf: past + 3600 })), '401 PGRST303');
  await data('a role that is none', who(await sign('rs256', { role: 'nobody' })), '401 22023');
  await data('a role that is not granted', who(await sign('rs256', { role: 'stranger' })), '403 42501');
  await data('no token at all', who('x'), '401 PGRST301');
  await data('an unsigned token', who(new jose.UnsecuredJWT({ role: 'web' }).encode()), '401 PGRST301');
  const [head, , signature] = (await sign('hs256', {})).split('.');
  await data('other claims below the same signature', who(`${head}.${jose.base64url.encode('{"role":"web"}')}.${signature}`), '401 PGRST301');

  const key = async (text) => withKey(text).from('who').select('who').single();
  await data('a publishable key: the anonymous role', key(PUBLISHABLE), { who: 'vecdb_anon' });
  await data('a key that is a token: its role', key(await sign('hs256', { role: 'vecdb_anon' })), { who: 'vecdb_anon' });
  await data('a key of a role of the service', key(await sign('hs256', {})), { who: 'web' });
  await data('a key that is a token of nobody', key((await sign('hs256', {})).slice(0, -4)), '401 PGRST301');
  const plain = createClient(url, PUBLISHABLE, { ...common, db: { schema: 'api' }, global: { headers: { Authorization: `Bearer ${await sign('eddsa', {})}` } } });
  await data('a token in a header of its own beside the key', plain.from('who').select('who').single(), { who: 'web' });
  const apart = createClient(url, PUBLISHABLE, { ...common, db: { schema: 'api' }, global: { headers: { Authorization: 'Bearer sb_other' } } });
  await data('a bearer that is neither a token nor the key', apart.from('who').select('who').single(), '401 PGRST301');
}

async function work() {
  const token = await sign('rs256', { tenant: 'a' });
  const a = as(token);

  await rows(a, as(await sign('eddsa', { tenant: 'b' })));
  await errors(a);
  await times(token);
  await tokens();
}

async function count() {
  for (const kid of ['old', 'new'])
    await data(`a token of the key "${kid}"`, as(await sign(kid, { sub: kid })).from('who').select('sub').single(), ids.includes(kid) ? { sub: kid } : '401 PGRST301');
}

(async () => {
  await { keys: makeKeys, work, count }[what]();
  say('the end', true, true);
  process.exit(0);
})();
