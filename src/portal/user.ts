/** The name of the portals' etcd user where the operator gives none, and of their role. */
export const PORTAL_USER = 'compose-etcd-portal';
