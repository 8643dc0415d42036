import cfenv from 'cfenv';
import { Etcd3 } from 'etcd3';

const CALL_TIMEOUT_MS = 5_000;

/** The credentials of the first bound service that says etcd in its label or tags; undefined when there is none. */
export function boundCredentials() {
  const services = Object.values(cfenv.getAppEnv({ name: 'words' }).getServices());
  return services.find(({ label, tags }) => label === 'compose-for-etcd' || tags?.includes('etcd'))
    ?.credentials;
}

/** A client that goes on with the second portal when the first can't be reached. */
export function connect({ uri, uri_direct_1, username, password, ca_certificate_base64 }) {
  return new Etcd3({
    hosts: [uri, uri_direct_1].filter((each) => each !== undefined).map((each) => new URL(each).origin),
    auth: { username, password },
    // Without the authority the certificate must be one of a public authority.
    ...(ca_certificate_base64 && {
      credentials: { rootCertificate: Buffer.from(ca_certificate_base64, 'base64') },
    }),
    // Without a deadline a call waits as long as no portal can be reached.
    defaultCallOptions: () => ({ deadline: Date.now() + CALL_TIMEOUT_MS }),
  });
}
