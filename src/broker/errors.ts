/**
 * Every way in which a request to the broker can fail, named as the specification names it ("Service Broker
 * Errors"). Each `message` is shown to users. `osb/http/errors.ts` alone turns these into status codes.
 */
export class BrokerError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The request is malformed or asks for what the catalog does not allow. Nothing was changed. */
export class InvalidRequest extends BrokerError {}

/** The instance, binding or operation does not exist. */
export class NotFound extends BrokerError {}

/** What is to be deleted does not exist (any more). */
export class Gone extends BrokerError {}

/** The id is taken by a resource with other attributes. */
export class Conflict extends BrokerError {}

/** Another operation on the resource is under way. The Kubernetes client knows it by this very text. */
export class ConcurrencyError extends BrokerError {
  constructor() {
    super('The Service Broker does not support concurrent requests that mutate the same resource.');
  }
}

/** Only an asynchronous answer can be given. The Kubernetes client knows it by this very text. */
export class AsyncRequired extends BrokerError {
  constructor() {
    super('This service plan requires client support for asynchronous service operations.');
  }
}

/** The platform's view of a plan's maintenance_info is not the catalog's. */
export class MaintenanceInfoConflict extends BrokerError {}

/** An update that this instance or plan can not take (specification: "Updating", 422). */
export class UnsupportedUpdate extends BrokerError {}

/** The cluster does not answer, or refuses for now. The same request may succeed later. */
export class Unavailable extends BrokerError {}

/** The cluster failed. What it said itself is the `cause`, for the operator. */
export class ClusterUnavailable extends Unavailable {
  constructor(
    options?: ErrorOptions,
    message = 'The etcd cluster does not answer. Try again in a few seconds.',
  ) {
    super(message, options);
  }
}

/** The cluster has no space left. Whether what was to be written was written is not known: read it back. */
export class NoSpace extends ClusterUnavailable {
  constructor(options?: ErrorOptions) {
    super(
      options,
      'The etcd cluster has no space left, so nothing can be created now. Ask its operator to make room: delete what is not needed, compact, defragment and disarm the NOSPACE alarm.',
    );
  }
}

/** The cluster refuses the broker's own user. */
export class ClusterRefuses extends ClusterUnavailable {
  constructor(options?: ErrorOptions) {
    super(
      options,
      "The etcd cluster refuses the service broker's user. Ask the operator to check ETCD_USERNAME, ETCD_PASSWORD and that user's root role.",
    );
  }
}

/** This replica may no longer work on an operation, which goes on elsewhere or later. */
export class SessionLost extends Unavailable {
  constructor() {
    super('The service broker has lost its session with etcd. Try again in a few seconds.');
  }
}

/** The key that sealed a text is not among those configured, or the text was changed. */
export class SealError extends BrokerError {}

/** The operation goes on, but the platform's patience would end first. */
export class StillInProgress extends BrokerError {}

/** The operation ended without success; the text says why. */
export class OperationFailed extends BrokerError {}

/** A record that can't be read. For operators and logs: the key and the reason hold nothing secret. */
export class MalformedRecord extends Error {
  override readonly name = 'MalformedRecord';

  constructor(
    readonly key: string,
    readonly reason: string,
  ) {
    super(`The record ${key} is malformed: ${reason}`);
  }
}
