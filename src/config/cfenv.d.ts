/** What the broker uses of cfenv, which has no types of its own. */
declare module 'cfenv' {
  namespace cfenv {
    interface AppEnv {
      readonly app: Readonly<Record<string, unknown>>;
      readonly services: Readonly<Record<string, unknown>>;
      readonly isLocal: boolean;
      readonly url: string | undefined;
    }
    function getAppEnv(options: { name: string }): AppEnv;
  }
  export default cfenv;
}
