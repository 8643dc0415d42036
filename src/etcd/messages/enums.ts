/** The enumerations of etcd's protocol, by the names of rpc.proto, kv.proto and auth.proto. `Type` is Permission's. */
export const enums = {
  EventType: { PUT: 0, DELETE: 1 },
  Type: { READ: 0, WRITE: 1, READWRITE: 2 },
  SortOrder: { NONE: 0, ASCEND: 1, DESCEND: 2 },
  SortTarget: { KEY: 0, VERSION: 1, CREATE: 2, MOD: 3, VALUE: 4 },
  CompareResult: { EQUAL: 0, GREATER: 1, LESS: 2, NOT_EQUAL: 3 },
  CompareTarget: { VERSION: 0, CREATE: 1, MOD: 2, VALUE: 3, LEASE: 4 },
  FilterType: { NOPUT: 0, NODELETE: 1 },
  AlarmType: { NONE: 0, NOSPACE: 1, CORRUPT: 2 },
  AlarmAction: { GET: 0, ACTIVATE: 1, DEACTIVATE: 2 },
  DowngradeAction: { VALIDATE: 0, ENABLE: 1, CANCEL: 2 },
} as const;
