import type { MessageDefinitions } from './definition.js';

/** Messages of etcd's Auth service (rpc.proto, auth.proto). */
export const authMessages = {
  UserAddOptions: {
    no_password: [1, 'bool'],
  },
  Permission: {
    permType: [1, 'Type'],
    key: [2, 'bytes'],
    range_end: [3, 'bytes'],
  },
  AuthEnableRequest: {},
  AuthDisableRequest: {},
  AuthStatusRequest: {},
  AuthenticateRequest: {
    name: [1, 'string'],
    password: [2, 'string'],
  },
  AuthUserAddRequest: {
    name: [1, 'string'],
    password: [2, 'string'],
    options: [3, 'UserAddOptions'],
    hashedPassword: [4, 'string'],
  },
  AuthUserGetRequest: {
    name: [1, 'string'],
  },
  AuthUserDeleteRequest: {
    name: [1, 'string'],
  },
  AuthUserChangePasswordRequest: {
    name: [1, 'string'],
    password: [2, 'string'],
    hashedPassword: [3, 'string'],
  },
  AuthUserGrantRoleRequest: {
    user: [1, 'string'],
    role: [2, 'string'],
  },
  AuthUserRevokeRoleRequest: {
    name: [1, 'string'],
    role: [2, 'string'],
  },
  AuthRoleAddRequest: {
    name: [1, 'string'],
  },
  AuthRoleGetRequest: {
    role: [1, 'string'],
  },
  AuthUserListRequest: {},
  AuthRoleListRequest: {},
  AuthRoleDeleteRequest: {
    role: [1, 'string'],
  },
  AuthRoleGrantPermissionRequest: {
    name: [1, 'string'],
    perm: [2, 'Permission'],
  },
  AuthRoleRevokePermissionRequest: {
    role: [1, 'string'],
    key: [2, 'bytes'],
    range_end: [3, 'bytes'],
  },
  AuthEnableResponse: {
    header: [1, 'ResponseHeader'],
  },
  AuthDisableResponse: {
    header: [1, 'ResponseHeader'],
  },
  AuthStatusResponse: {
    header: [1, 'ResponseHeader'],
    enabled: [2, 'bool'],
    authRevision: [3, 'uint64'],
  },
  AuthenticateResponse: {
    header: [1, 'ResponseHeader'],
    token: [2, 'string'],
  },
  AuthUserAddResponse: {
    header: [1, 'ResponseHeader'],
  },
  AuthUserGetResponse: {
    header: [1, 'ResponseHeader'],
    roles: [2, 'string', 'repeated'],
  },
  AuthUserDeleteResponse: {
    header: [1, 'ResponseHeader'],
  },
  AuthUserChangePasswordResponse: {
    header: [1, 'ResponseHeader'],
  },
  AuthUserGrantRoleResponse: {
    header: [1, 'ResponseHeader'],
  },
  AuthUserRevokeRoleResponse: {
    header: [1, 'ResponseHeader'],
  },
  AuthRoleAddResponse: {
    header: [1, 'ResponseHeader'],
  },
  AuthRoleGetResponse: {
    header: [1, 'ResponseHeader'],
    perm: [2, 'Permission', 'repeated'],
  },
  AuthRoleListResponse: {
    header: [1, 'ResponseHeader'],
    roles: [2, 'string', 'repeated'],
  },
  AuthUserListResponse: {
    header: [1, 'ResponseHeader'],
    users: [2, 'string', 'repeated'],
  },
  AuthRoleDeleteResponse: {
    header: [1, 'ResponseHeader'],
  },
  AuthRoleGrantPermissionResponse: {
    header: [1, 'ResponseHeader'],
  },
  AuthRoleRevokePermissionResponse: {
    header: [1, 'ResponseHeader'],
  },
} as const satisfies MessageDefinitions;
