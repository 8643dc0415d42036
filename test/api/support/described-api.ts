import assert from 'node:assert/strict';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import type { Reply } from '../../support/broker.js';

interface Description {
  paths: Record<string, Record<string, { responses: Record<string, Described> }>>;
  components: { responses: { error: Described } };
}

interface Described {
  content: Record<string, { schema: object }>;
}

/** What an OpenAPI document says, held against answers. */
export class DescribedApi {
  readonly #ajv = formats.default(new Ajv2020({ strictTypes: false }));

  constructor(readonly description: Description) {}

  /** @throws AssertionError when the answer of an endpoint is not as it is described */
  assertDescribed(method: string, path: string, { status, headers, body }: Reply): void {
    const found = this.#operation(method, path);
    const { content } = found?.responses[String(status)] ?? this.description.components.responses.error;
    const [type = ''] = (headers['content-type'] ?? '').split(';');
    const described = content[type];
    assert.ok(described, `${method} ${path} answered ${status} with ${type}`);
    if (type.endsWith('json')) {
      const validate = this.#ajv.compile(described.schema);
      assert.ok(validate(body), `${method} ${path}: ${this.#ajv.errorsText(validate.errors)}`);
    }
  }

  #operation(method: string, path: string) {
    const [plain = ''] = path.replace(/^\/api/, '').split('?');
    const template = Object.keys(this.description.paths).find((each) =>
      new RegExp(`^${each.replace(/\{\w+\}/g, '[^/]+')}$`).test(plain),
    );
    return template === undefined ? undefined : this.description.paths[template]?.[method.toLowerCase()];
  }
}
