/**
 * Who reads the settings: the broker, which must know what credentials name; the operator's tools, which need not; or
 * one portal, which needs no platform's password but an etcd user of its own.
 */
export type Purpose = 'broker' | 'tools' | 'portal';
