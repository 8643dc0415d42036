import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { availableEtcds } from '../../support/etcd-versions.js';
import { OperatorEtcd } from '../../support/operator-etcd.js';
import { PortalHouse } from '../support/portal.js';
import { JsonClient, type Reply } from './support.js';

const b64 = (text: string) => Buffer.from(text).toString('base64');
const key = b64('a/1');
const all = { key: b64('a/'), range_end: b64('a0') };

/** What both are asked, one after the other. Each builds on those before. */
const PROGRAM: readonly (readonly [path: string, body: unknown])[] = [
  ['/v3/kv/put', { key, value: b64('one') }],
  ['/v3/kv/put', { key: b64('a/2'), value: b64('<two>&"\u2028'), prev_kv: true }],
  ['/v3/kv/put', { key, value: b64('three'), prevKv: true }],
  ['/v3/kv/put', { key: b64('a/3') }],
  ['/v3beta/kv/range', { key }],
  ['/v3/kv/range', all],
  ['/v3/kv/range', { ...all, limit: '2', sort_order: 'DESCEND', sort_target: 'MOD' }],
  ['/v3/kv/range', { ...all, limit: 2, sortOrder: 2, sort_target: 3 }],
  ['/v3/kv/range', { ...all, keys_only: true }],
  ['/v3/kv/range', { ...all, count_only: true }],
  ['/v3/kv/range', { ...all, min_mod_revision: '999999999999999999' }],
  ['/v3/kv/range', `{"key":"${key}","revision":9223372036854775807}`],
  ['/v3/kv/range', `{"key":"${key}","revision":-9223372036854775808}`],
  ['/v3/kv/range', `  {"key":\t"${key}"}\n trailing`],
  ['/v3/kv/range', `{"key":"${key}","nonsense":{"a":[1,2,{"b":null}]},"__proto__":{"limit":"1"}}`],
  ['/v3/kv/range', `{"key":"${key}","KEY":"eA==","limit":null}`],
  ['/v3/kv/range', `{"k\\u0065y":"${key}"}`],
  ['/v3/kv/range', { key: `${key.slice(0, 2)}\n${key.slice(2)}` }],
  ['/v3/kv/range', { key: b64('missing') }],
  ['/v3/kv/range', {}],
  ['/v3/kv/range', ''],
  ['/v3/kv/range', { key: '' }],
  ['/v3/kv/range', { key: b64('b'), range_end: b64('a') }],
  ['/v3/kv/range', { key: 'AA==', range_end: 'AA==' }],
  ['/v3/kv/txn', {}],
  ['/v3/kv/txn', { compare: null, success: [], failure: [] }],
  [
    '/v3/kv/txn',
    {
      compare: [
        { key, target: 'VERSION', version: '2' },
        { key, target: 'VALUE', result: 'NOT_EQUAL', value: b64('one') },
        { key, target: 3, result: 1, value: b64('a') },
        { ...all, target: 'CREATE', result: 'GREATER', createRevision: 0 },
        { key, target: 'LEASE', lease: 0 },
      ],
      success: [
        { request_put: { key: b64('a/4'), value: b64('four') } },
        { requestRange: { ...all, limit: '1' } },
        { request_delete_range: { key: b64('a/3'), prev_kv: true } },
        { request_txn: { success: [{ requestRange: { key: b64('a/4') } }] } },
        { requestPut: { key, prev_kv: true } },
      ],
      failure: [{ request_range: { key } }],
    },
  ],
  [
    '/v3/kv/txn',
    { compare: [{ key, target: 'MOD', mod_revision: '1' }], failure: [{ request_range: { key } }] },
  ],
  ['/v3/kv/txn', { success: [{}] }],
  ['/v3/kv/txn', { success: [{ request_put: { value: 'AA==' } }] }],
  ['/v3/kv/deleterange', { key: b64('a/4'), prev_kv: true }],
  ['/v3/kv/deleterange', { key: b64('a/4'), prev_kv: true }],
  ['/v3/kv/deleterange', {}],
  ['/v3/lease/grant', { TTL: '100', ID: 77 }],
  ['/v3/lease/grant', { TTL: 100, ID: '77' }],
  ['/v3/lease/grant', {}],
  ['/v3/kv/put', { key: b64('a/leased'), value: 'AA==', lease: 77 }],
  ['/v3/kv/range', { key: b64('a/leased') }],
  ['/v3/lease/leases', {}],
  ['/v3/kv/lease/leases', {}],
  ['/v3/lease/keepalive', { ID: '77' }],
  ['/v3/lease/keepalive', '{"ID":"77"} {"ID":78}\n{"ID":77}'],
  ['/v3/lease/keepalive', ''],
  ['/v3/lease/timetolive', { ID: 78 }],
  ['/v3/kv/lease/timetolive', { ID: '78', keys: true }],
  ['/v3/kv/lease/revoke', { ID: 77 }],
  ['/v3/lease/revoke', { ID: 77 }],
  ['/v3/kv/compaction', { revision: '999999999' }],
  ['/v3/auth/authenticate', { name: 'nobody', password: 'nothing' }],
  ['/v3/auth/authenticate', {}],
  ['/v3/election/leader', { name: b64('nobody') }],
  ['/v3/nothing', {}],
  ['/v3/kv/range/', {}],
  ['/nothing', {}],
  ['/v3/kv/range', `{"key":"${key}"`],
  ['/v3/kv/range', '['],
  ['/v3/kv/range', '[]'],
  ['/v3/kv/range', '"text"'],
  ['/v3/kv/range', '17'],
  ['/v3/kv/range', '{"key":"%%%%"}'],
  ['/v3/kv/range', '{"key":"A"}'],
  ['/v3/kv/range', '{"key":12}'],
  ['/v3/kv/range', '{"key":1234567890123456}'],
  ['/v3/kv/range', '{"key":{}}'],
  ['/v3/kv/range', '{"key":["YQ=="]}'],
  ...[
    '"1x"',
    '1.5',
    '99999999999999999999',
    '"99999999999999999999"',
    '"0x10"',
    'true',
    '""',
    '{}',
    '"+1"',
    '01',
    '1e999',
  ].map((limit) => ['/v3/kv/range', `{"key":"${key}","limit":${limit}}`] as const),
  ...['"true"', '1', '{}'].map(
    (serializable) => ['/v3/kv/range', `{"key":"${key}","serializable":${serializable}}`] as const,
  ),
  ['/v3/kv/range', { key, sort_order: {} }],
  ['/v3/kv/txn', { compare: { key } }],
  ['/v3/auth/authenticate', { name: 12, password: 'x' }],
  ['/v3/auth/authenticate', '{"name":"root","password":12345678901234567890}'],
];

/** What etcd says of JSON that it can't read, in its own words. */
const MALFORMED = /json|proto:|base64|invalid char|unexpected (EOF|end)|cannot unmarshal|unknown value/;

const shown = (part: string | Reply) =>
  typeof part === 'string' ? part : `${part.status} ${part.headers['content-type']} ${part.text.trim()}`;

/** What may differ: numbers that are each cluster's own, spaces, and texts about what is wrong with JSON. */
function comparable({ status, headers, text }: Reply, isMalformed: boolean): unknown {
  const type = headers['content-type'];
  if (status === 404) {
    return { status };
  }
  if (status >= 400) {
    const { code, message } = JSON.parse(text) as { code: number; message: string };
    // FAILED_PRECONDITION was 412 up to 3.4.
    return { status: status === 412 ? 400 : status, type, code, message: isMalformed ? '' : message };
  }
  const body = text
    .replace(/, (?=["{])/g, ',')
    // Within a transaction, the portal's headers name it; etcd's name nobody.
    .replace(/"header":\{[^}]*\}/g, '"header":{}')
    .replace(/"(create_revision|mod_revision)":"\d+"/g, '"$1":"n"')
    .replace(/"ID":"\d{4,}"/g, '"ID":"chosen"')
    .replace(/"TTL":"(99|100)"/g, '"TTL":"~100"');
  return { status, type: body === '' ? undefined : type, body };
}

for (const binary of await availableEtcds()) {
  describe(`HTTP/JSON through a portal and of a bare etcd ${binary.version}`, () => {
    let house: PortalHouse;
    let etcd: OperatorEtcd;
    let portal: JsonClient;
    let bare: JsonClient;

    before(async () => {
      house = await PortalHouse.start({ ETCD_BINARY: binary.path });
      etcd = await OperatorEtcd.start({ binary, tls: 'none' });
      portal = new JsonClient(house.url);
      bare = new JsonClient(etcd.endpoint);
      await portal.signIn(await house.bind('i', 'b'));
      await bare.signIn({ username: 'root', password: etcd.rootPassword });
    });

    after(async () => {
      await house?.stop();
      await etcd?.stop();
    });

    it('are the same, answer by answer', async () => {
      const different: string[] = [];
      for (const [path, body] of PROGRAM) {
        const [expected, got] = [await bare.post(path, body), await portal.post(path, body)];
        const isMalformed = MALFORMED.test(expected.text);
        if (!isDeepStrictEqual(comparable(got, isMalformed), comparable(expected, isMalformed))) {
          const request = typeof body === 'string' ? body : JSON.stringify(body);
          different.push([`${path} ${request}`, expected, got].map(shown).join('\n'));
        }
      }
      assert.equal(different.join('\n\n'), '');
    });
  });
}
