import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { SealError } from '../../../src/broker/errors.js';
import { KeySpace } from '../../../src/portal/tenants/key-space.js';
import { Passwords } from '../../../src/portal/tenants/passwords.js';
import { Instance, Tenant } from '../../../src/portal/tenants/tenant.js';
import { openTokenKey, TOKEN_KEY, tokenKey } from '../../../src/portal/tenants/token-key.js';
import { Tokens } from '../../../src/portal/tenants/tokens.js';
import { deploymentOf, digestOf, otherSeals, seals, usernameOf } from './support.js';

const instance = new Instance({
  instanceId: 'i',
  deploymentId: deploymentOf(1),
  units: 1,
  quotaBytes: 1,
  isHeld: false,
  whitelist: undefined,
});
const keySpace = new KeySpace(`/d/${deploymentOf(1)}/a/`, 1);

function tenantWith(binding: number, password: string): Tenant {
  return new Tenant(usernameOf(1, binding), 'readwrite', keySpace, instance, digestOf(password), 'v1');
}

/** Tenants by name, as the directory has them. */
class Tenants extends Map<string, Tenant> {
  find(username: string): Tenant | undefined {
    return this.get(username);
  }
  add(tenant: Tenant): Tenant {
    this.set(tenant.username, tenant);
    return tenant;
  }
  remove(tenant: Tenant): void {
    this.delete(tenant.username);
    tenant.go('binding');
  }
}

describe('Signing in', () => {
  let tenants: Tenants;
  let one: Tenant;
  const key = randomBytes(32);

  beforeEach(() => {
    tenants = new Tenants();
    one = tenants.add(tenantWith(1, 'right'));
  });

  it('takes the right password of the right user only', () => {
    const passwords = new Passwords(tenants);
    tenants.add(tenantWith(2, 'other'));
    assert.equal(passwords.check(one.username, 'right'), one);
    for (const [username, password] of [
      [one.username, 'wrong'],
      [one.username, ''],
      [one.username, 'other'],
      [one.username, 'right\0'],
      ['nobody', 'right'],
      ['', ''],
      ['__proto__', 'right'],
    ] as const) {
      assert.equal(passwords.check(username, password), undefined);
    }
  });

  it('leaves no secret in a tenant that is printed', () => {
    new Tokens(tenants, key).issue(one);
    const printed = `${inspect(one, { depth: 9, showHidden: true })}${JSON.stringify(one)}`;
    assert.ok(printed.includes(one.username));
    assert.equal(printed.includes('v1'), false);
    assert.equal(printed.includes(JSON.stringify(digestOf('right')).slice(1, 8)), false);
  });

  describe('gives tokens that', () => {
    it('are good at every portal with the key, printable, and not at one with another', () => {
      const token = new Tokens(tenants, key).issue(one);
      assert.match(token, /^[A-Za-z0-9_.-]{1,256}$/);
      assert.equal(new Tokens(tenants, key).verify(token), one);
      assert.equal(new Tokens(tenants, randomBytes(32)).verify(token), undefined);
    });

    it('are no good with any one character changed, cut or added', () => {
      const tokens = new Tokens(tenants, key);
      const token = tokens.issue(one);
      tenants.add(tenantWith(2, 'right'));
      for (let index = 0; index < token.length; index += 1) {
        const other = token[index] === 'A' ? 'B' : 'A';
        assert.equal(tokens.verify(token.slice(0, index) + other + token.slice(index + 1)), undefined);
        assert.equal(tokens.verify(token.slice(0, index)), undefined);
      }
      const foreign = token.replace(one.username, usernameOf(1, 2));
      for (const bad of [
        `${token}A`,
        `${token} `,
        ` ${token}`,
        `.${token}`,
        foreign,
        '',
        '.',
        'x'.repeat(1e6),
      ]) {
        assert.equal(tokens.verify(bad), undefined, bad.slice(0, 100));
      }
      assert.equal(tokens.verify(token), one);
    });

    it('die with the binding, also when they were used before', () => {
      const tokens = new Tokens(tenants, key);
      const token = tokens.issue(one);
      assert.equal(tokens.verify(token), one);
      tenants.remove(one);
      assert.equal(tokens.verify(token), undefined);
    });

    it('die with the password and live through a new record with the same one', () => {
      const tokens = new Tokens(tenants, key);
      const token = tokens.issue(one);
      tenants.remove(one);
      const same = tenants.add(tenantWith(1, 'right'));
      assert.equal(tokens.verify(token), same);
      tenants.remove(same);
      tenants.add(tenantWith(1, 'changed'));
      assert.equal(tokens.verify(token), undefined);
    });

    it('are good too when more are in use than are remembered', () => {
      const tokens = new Tokens(tenants, key, 2);
      const all = [1, 2, 3, 4].map((binding) => tenants.add(tenantWith(binding, 'x')));
      for (const tenant of [...all, ...all]) {
        assert.equal(tokens.verify(tokens.issue(tenant)), tenant);
      }
    });

    it('die with the key', () => {
      const tokens = new Tokens(tenants, key);
      const token = tokens.issue(one);
      tokens.changeKey(Buffer.from(key));
      assert.equal(tokens.verify(token), one);
      tokens.changeKey(randomBytes(32));
      assert.equal(tokens.verify(token), undefined);
      assert.equal(tokens.verify(tokens.issue(one)), one);
    });
  });

  describe('has one token key', () => {
    /** Both portals read before either writes. */
    class Store {
      value: Buffer | undefined;
      writes = 0;
      async read(wanted: string): Promise<Buffer | undefined> {
        assert.equal(wanted, TOKEN_KEY);
        return this.value;
      }
      async createIfAbsent(_key: string, value: Buffer): Promise<Buffer> {
        this.writes += this.value === undefined ? 1 : 0;
        this.value ??= value;
        return this.value;
      }
    }

    it('that two portals which start at once agree on, and that is sealed in the records', async () => {
      const store = new Store();
      const [a, b] = await Promise.all([tokenKey(store, seals), tokenKey(store, seals)]);
      assert.equal(store.writes, 1);
      assert.deepEqual(a, b);
      assert.equal(a.length, 32);
      assert.deepEqual(await tokenKey(store, otherSeals), a);
      assert.ok(store.value && !store.value.includes(a.toString('base64')));
    });

    it('and says so when it can not open it', () => {
      assert.throws(() => openTokenKey(Buffer.from('v1.00000000.AAAA'), seals), SealError);
    });
  });
});
