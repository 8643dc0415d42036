import { ATTEMPT_TIMEOUT_MS, type ClusterAddress, EtcdClient } from '../../etcd/client.js';
import { readyBefore } from '../../etcd/deadline.js';
import type { Place } from '../../etcd/endpoints.js';
import { SignIn } from '../../etcd/sign-in.js';
import type { CallEnd } from '../../etcd/transport/call.js';
import { Code, MAX_ANSWER_BYTES } from '../calls/status.js';
import { AnswerBudget } from '../limits/answer-budget.js';
import type { SealOpener } from '../tenants/records.js';
import type { Tenant } from '../tenants/tenant.js';

/** Answers are a little shorter without the prefix of each key; see `MAX_ANSWER_BYTES`. */
const MAX_MESSAGE_BYTES = 2 * MAX_ANSWER_BYTES;

/**
 * The way to etcd: calls as bytes, each with the token of the tenant's own etcd user, over connections that all tenants
 * share. It knows the calls by their outcome only.
 */
export class Upstream {
  readonly #client: EtcdClient;
  readonly answers = new AnswerBudget(MAX_MESSAGE_BYTES);
  /** The greatest revision of the cluster that an answer has told of. */
  latestRevision = 0;

  /** @param address without a user: each tenant signs in for itself */
  constructor(
    address: Omit<ClusterAddress, 'username' | 'password'>,
    readonly seals: SealOpener,
  ) {
    this.#client = new EtcdClient({ ...address, maxMessageBytes: MAX_MESSAGE_BYTES });
  }

  /** A connected endpoint, when there is one now. */
  get ready(): Place | undefined {
    return this.#client.endpoints.ready;
  }

  /**
   * A connected endpoint, once there is one.
   * @param endAt on the clock of `performance.now()`
   * @throws TransportError or EtcdError that says that nothing was sent
   */
  place(endAt: number): Promise<Place> {
    return readyBefore(endAt, this.#client.endpoints.place());
  }

  /** The sign-in of a tenant's etcd user: once for all calls that need it at the same time. */
  signIn(tenant: Tenant): SignIn {
    return new SignIn(async () => {
      const password = tenant.etcdPassword(this.seals);
      const request = { name: tenant.username, password: password.reveal() };
      const { token } = await this.#client.unauthenticated<{ token: string }>(
        'Auth',
        'authenticate',
        request,
        ATTEMPT_TIMEOUT_MS,
      );
      return token;
    });
  }

  /** What the end of a call tells of the endpoint. */
  judge({ endpoint }: Place, { code, delivery }: CallEnd): void {
    if (delivery === 'answered') {
      if (code === Code.OK) {
        endpoint.answered();
      } else if (code === Code.UNAVAILABLE) {
        endpoint.doubt();
      }
    } else if (code === Code.DEADLINE_EXCEEDED) {
      endpoint.doubt();
    }
  }

  saw(revision: number): void {
    if (revision > this.latestRevision) {
      this.latestRevision = revision;
    }
  }

  close(): void {
    this.#client.close();
  }
}
