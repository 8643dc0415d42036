/**
 * How the platform's part of a sign-in can fail. Each `message` is one sentence for a person, which says what to do;
 * a `cause` is for the operator. Neither holds anything secret.
 */
class PlatformError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** This sign-in comes to nothing. */
export class SignInRefused extends PlatformError {}

/** The access token is no longer good. */
export class SignInExpired extends PlatformError {
  constructor(options?: ErrorOptions) {
    super('Sign in again, since your sign-in with Cloud Foundry has ended.', options);
  }
}

/** UAA or the Cloud Controller is slow or down, or its answer makes no sense. */
export class PlatformAway extends PlatformError {
  /** @param reason for the operator */
  constructor(reason: string) {
    super('Try again in a minute, since Cloud Foundry does not answer as it should.', {
      cause: new Error(reason),
    });
  }
}
