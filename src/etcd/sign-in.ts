/** Signs in once for all calls that need a token at the same time, and again when it was forgotten. */
export class SignIn {
  readonly #authenticate: (() => Promise<string | undefined>) | undefined;
  #pending: Promise<string | undefined> | undefined;
  #known: { token: string | undefined } | undefined;

  /** @param authenticate gets a token, `undefined` while authentication is off; left out when none is ever needed */
  constructor(authenticate?: () => Promise<string | undefined>) {
    this.#authenticate = authenticate;
    if (authenticate === undefined) {
      this.#known = { token: undefined };
    }
  }

  /** The token, if it is known already: calls need not wait for a turn of the loop then. */
  get known(): { token: string | undefined } | undefined {
    return this.#known;
  }

  /** @throws EtcdError when the sign-in fails; the next call tries again */
  token(): Promise<string | undefined> {
    if (this.#known !== undefined || this.#authenticate === undefined) {
      return Promise.resolve(this.#known?.token);
    }
    if (this.#pending === undefined) {
      const pending = this.#authenticate().then(
        (token) => {
          if (this.#pending === pending) {
            this.#known = { token };
            this.#pending = undefined;
          }
          return token;
        },
        (error: unknown) => {
          if (this.#pending === pending) {
            this.#pending = undefined;
          }
          throw error;
        },
      );
      this.#pending = pending;
    }
    return this.#pending;
  }

  /** Signs in anew with the next call. */
  forget(): void {
    if (this.#authenticate !== undefined) {
      this.#known = undefined;
      this.#pending = undefined;
    }
  }

  /** As {@link forget}, unless another call has done so already: many fail together when a token runs out. */
  refused(token: string | undefined): void {
    if (this.#known !== undefined && this.#known.token === token) {
      this.forget();
    }
  }
}
