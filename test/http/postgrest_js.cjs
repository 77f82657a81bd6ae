// What an application does with @supabase/postgrest-js, and what it has to get.
// Each line of output is a case: {name, got, expected}.
'use strict';

const [directory, url] = process.argv.slice(2);
const { PostgrestClient } = require(`${directory}/node_modules/@supabase/postgrest-js`);
const db = new PostgrestClient(`${url}/rest/v1`, { schema: 'api' });

function say(name, got, expected) {
  process.stdout.write(`${JSON.stringify({ name, got, expected })}\n`);
}

// The data of an answer, or the status and code of its error.
async function data(name, query, expected) {
  const answer = await query;
  say(name, answer.error ? `${answer.status} ${answer.error.code}` : answer.data, expected);
  return answer;
}

const ids = (...numbers) => numbers.map((id) => ({ id }));

async function reads() {
  const people = () => db.from('people');
  const select = () => people().select('id').order('id');

  await data('columns, alias, path', people().select('id, name, key:info->>k').eq('id', 3), [{ id: 3, name: 'name 3', key: 'v3' }]);
  await data('eq', select().eq('id', 3), ids(3));
  await data('neq', select().neq('name', 'name 3').lt('id', 5), ids(1, 2, 4));
  await data('gt, gte, lt, lte', select().gt('age', 10).gte('age', 30).lt('age', 70).lte('age', 50), ids(3, 4, 5));
  await data('like', select().like('name', '%1'), ids(1));
  await data('likeAllOf', select().likeAllOf('name', ['name%', '%2']), ids(2));
  await data('likeAnyOf', select().likeAnyOf('name', ['%1', '%2']), ids(1, 2));
  await data('ilike', select().ilike('name', 'NAME_4'), ids(4));
  await data('ilikeAnyOf', select().ilikeAnyOf('name', ['%E 1', '%E 2']), ids(1, 2));
  await data('ilikeAllOf', select().ilikeAllOf('name', ['NAME%', '%2']), ids(2));
  await data('regexMatch', select().regexMatch('name', '^name [45]$'), ids(4, 5));
  await data('regexMatch of another case', select().regexMatch('name', '^NAME'), []);
  await data('regexIMatch', select().regexIMatch('name', '^NAME [45]$'), ids(4, 5));
  await data('isDistinct', select().isDistinct('good', true), ids(1, 3, 5, 7, 9, 10));
  await data('isDistinct from null', select().isDistinct('name', null).lt('id', 3), ids(1, 2));
  await data('is null', select().is('name', null), ids(10));
  await data('is true', select().is('good', true), ids(2, 4, 6, 8));
  await data('in, with a comma and quotes', select().in('name', ['name 1', 'a,b', 'c"d\\(', 'name 2']), ids(1, 2));
  await data('notIn', select().notIn('id', [1, 2, 3, 5, 6, 7]), ids(4, 8, 9, 10));
  await data('notIn, with a comma and quotes', select().notIn('name', ['name 1', 'a,b', 'c"d', 'name 2']).lt('id', 4), ids(3));
  await data('contains of an array', select().contains('tags', ['t1', 'x']), ids(1));
  await data('contains of jsonb', select().contains('info', { k: 'v3' }), ids(3));
  await data('containedBy', select().containedBy('tags', ['t1', 'x', 'y']), ids(1));
  await data('overlaps', select().overlaps('tags', ['t1', 't2']), ids(1, 2));
  await data('rangeGt', select().rangeGt('span', '[1,7)'), ids(7, 8, 9));
  await data('rangeGte', select().rangeGte('span', '[8,10)'), ids(8, 9));
  await data('rangeLt', select().rangeLt('span', '[9,12)'), ids(1, 2, 3, 4));
  await data('rangeLte', select().rangeLte('span', '[1,8)'), ids(1, 2, 3));
  await data('rangeAdjacent', select().rangeAdjacent('span', '[10,12)'), ids(5));
  await data('textSearch', select().textSearch('words', 'fat & cat', { config: 'english' }).lt('id', 3), ids(1, 2));
  await data('textSearch plain', select().textSearch('words', 'fat cats', { type: 'plain', config: 'english' }).lt('id', 2), ids(1));
  await data('textSearch phrase', select().textSearch('words', 'fat cats', { type: 'phrase', config: 'english' }).lt('id', 2), ids(1));
  await data('textSearch websearch', select().textSearch('words', '"fat cats" -dog', { type: 'websearch', config: 'english' }).lt('id', 2), ids(1));
  await data('match', select().match({ id: 1, name: 'name 1' }), ids(1));
  await data('not', select().not('id', 'in', '(1,2,3)').lt('id', 6), ids(4, 5));
  await data('or', select().or('id.eq.1,and(id.gt.3,id.lt.6)'), ids(1, 4, 5));
  await data('filter', select().filter('info->>k', 'eq', 'v2'), ids(2));
  await data('order descending, nulls', people().select('id').order('age', { ascending: false, nullsFirst: false }).limit(2), ids(9, 8));
  await data('order by a path', people().select('id').order('info->>k', { ascending: false, nullsFirst: false }).limit(2), ids(9, 8));
  await data('casts', people().select('id::text, age::float8, year:info->>k::text').eq('id', 3), [{ id: '3', age: 30, year: 'v3' }]);
  await data('a cast that is none', people().select('id::nothing'), '400 42704');
  await data('order by two', people().select('id').order('mood').order('id', { ascending: false }).limit(2), ids(9, 6));
  await data('limit', select().limit(2), ids(1, 2));

  const page = await data('range', people().select('id', { count: 'exact' }).order('id').range(2, 3), ids(3, 4));
  say('its count and status', [page.count, page.status], [10, 206]);
  for (const count of ['planned', 'estimated']) {
    const counted = await data(`range, ${count}`, people().select('id', { count }).order('id').range(2, 3), ids(3, 4));
    say(`its ${count} count and status`, [counted.count, counted.status], [10, 206]);
  }
  const beyond = await people().select('id', { count: 'exact' }).range(20, 30);
  say('a range beyond the end', [beyond.status, beyond.error && beyond.error.code], [416, 'PGRST103']);
  const head = await people().select('*', { count: 'exact', head: true });
  say('head', [head.count, head.data, head.status], [10, null, 200]);
  await data('single', people().select('id').eq('id', 1).single(), { id: 1 });
  await data('single of none', people().select('id').eq('id', 99).single(), '406 PGRST116');
  await data('maybeSingle', people().select('id').eq('id', 1).maybeSingle(), { id: 1 });
  await data('maybeSingle of none', people().select('id').eq('id', 99).maybeSingle(), null);
  await data('csv', select().limit(2).csv(), 'id\n1\n2');
  await data('stripNulls', people().select('id,name').eq('id', 10).stripNulls(), [{ id: 10 }]);
  const plan = await people().select('id').eq('id', 1).explain({ format: 'json' });
  say('explain', plan.data && Object.keys(plan.data[0]), ['Plan']);
  await data('a table that is none', db.from('peple').select(), '404 PGRST205');
  await data('a column that is none', people().select('nam'), '400 42703');
  await data('another schema', db.schema('film').from('x').select(), '406 PGRST106');
}

async function vectors() {
  const near = '[3,1,2]';

  await data('order by a distance, told', db.from('people').select(`id,distance:embedding.l2.${near}`).order(`embedding.l2.${near}`).limit(2),
    [{ id: 3, distance: 0 }, { id: 2, distance: 1 }]);
  await data('a bound', db.from('people').select('id').filter('embedding', 'lt', `l2.0.5.${near}`), ids(3));
  await data('vectors are arrays', db.from('people').select('embedding,h').eq('id', 1).single(), { embedding: [1, 1, 2], h: [1, 1, 2] });
}

async function writes() {
  const items = () => db.from('items');

  let answer = await items().insert({ id: 1, name: 'one', embedding: [1, 2, 3] });
  say('insert', [answer.status, answer.data, answer.error], [201, null, null]);
  await data('insert and select', items().insert([{ id: 2, name: 'two' }, { id: 3 }]).select('id,name'), [{ id: 2, name: 'two' }, { id: 3, name: null }]);
  await data('defaultToNull: false', items().insert([{ id: 4, name: 'four' }, { id: 5 }], { defaultToNull: false }).select('id,name'),
    [{ id: 4, name: 'four' }, { id: 5, name: 'none' }]);
  answer = await items().insert([{ id: 6 }, { id: 7 }], { count: 'exact' });
  say('its count', answer.count, 2);
  await data('a duplicate', items().insert({ id: 1 }), '409 23505');
  await data('upsert', items().upsert({ id: 1, name: 'uno' }).select('id,name,embedding'), [{ id: 1, name: 'uno', embedding: [1, 2, 3] }]);
  await data('upsert, ignoreDuplicates', items().upsert([{ id: 1, name: 'x' }, { id: 8, name: 'y' }], { ignoreDuplicates: true }).select('id'), ids(8));
  await data('upsert, onConflict', items().upsert({ id: 8, code: 'a', name: 'z' }, { onConflict: 'id' }).select('code').single(), { code: 'a' });
  await data('update', items().update({ name: 'new' }).in('id', [2, 3]).select('id').single(), '406 PGRST116');
  await data('is undone', items().select('name').eq('id', 2).single(), { name: 'two' });
  await data('update one', items().update({ name: 'new', embedding: [4, 5, 6] }).eq('id', 2).select('name,embedding').single(), { name: 'new', embedding: [4, 5, 6] });
  await data('update none, maybeSingle', items().update({ name: 'x' }).eq('id', 99).select('id').maybeSingle(), null);
  answer = await items().update({ name: 'x' }, { count: 'exact' }).gte('id', 6);
  say('update, counted', [answer.status, answer.count], [204, 3]);
  await data('update without a filter', items().update({ name: 'x' }), '400 21000');
  await data('maxAffected', items().update({ name: 'y' }).gte('id', 6).maxAffected(1), '400 PGRST124');
  await data('rollback', items().delete().eq('id', 1).rollback().select('id'), ids(1));
  answer = await items().delete({ count: 'exact' }).gte('id', 6);
  say('delete', [answer.status, answer.count], [204, 3]);
  await data('what is left', items().select('id').order('id'), ids(1, 2, 3, 4, 5));
  await data('delete without a filter', items().delete(), '400 21000');
  const notes = () => db.schema('side').from('notes');
  await data('another schema', notes().insert([{ id: 1, text: 'a' }, { id: 2, text: 'b' }]).select(), [{ id: 1, text: 'a' }, { id: 2, text: 'b' }]);
  await data('its update', notes().update({ text: 'c' }).eq('id', 1).select('text').single(), { text: 'c' });
  await data('its upsert', notes().upsert({ id: 2, text: 'd' }).select(), [{ id: 2, text: 'd' }]);
  await data('its delete', notes().delete().eq('id', 2).select('id'), ids(2));
  await data('what is left of it', notes().select(), [{ id: 1, text: 'c' }]);
  await data('which is not in the first', db.from('notes').insert({ id: 3 }), '404 PGRST205');
  await data('nor is that in it', db.schema('side').from('items').insert({ id: 3 }), '404 PGRST205');
  await data('a schema that is none', db.schema('film').from('x').insert({ id: 3 }), '406 PGRST106');
  await data('upsert through a view', db.from('shown').upsert({ id: 1, title: 'eins' }).select('id,title'), [{ id: 1, title: 'eins' }]);
  await data('a column that is none', items().insert({ id: 9, nam: 'x' }), '400 PGRST204');
}

(async () => {
  await reads();
  await vectors();
  await writes();
  say('the end', true, true);
})();
