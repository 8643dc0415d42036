/** Any JSON object whose members the broker only passes on. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** What the broker itself needs to know of a plan. It stands in the plan's member `broker`, which is not published. */
export interface PlanSettings {
  /** How many bytes of keys and values an instance may hold. */
  readonly quotaBytes: number;
  /** Whether backups of its instances are made. */
  readonly hasBackups: boolean;
}

/** Checks parameters of a request. The list of problems, each for a person to read, is empty when they are good. */
export type ParameterValidator = (parameters: unknown) => string[];

/** OSB 2.17, "Maintenance Info Object". */
export interface MaintenanceInfo {
  readonly version: string;
  readonly description?: string;
}

/** OSB 2.17, "Service Plan Object", with the offering's defaults applied. */
export interface ServicePlan {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly free: boolean;
  readonly bindable: boolean;
  readonly bindingRotatable: boolean;
  /** Whether an instance may leave this plan for another one of the offering. */
  readonly planUpdateable: boolean;
  /** In seconds. */
  readonly maximumPollingDuration?: number;
  readonly maintenanceInfo?: MaintenanceInfo;
  readonly settings: PlanSettings;
  /** Made from the very schemas that the catalog publishes. Absent parameters are checked as `{}`. */
  readonly validators: {
    readonly create: ParameterValidator;
    readonly update: ParameterValidator;
    readonly bind: ParameterValidator;
  };
}

/** OSB 2.17, "Service Offering Object". */
export interface ServiceOffering {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly bindable: boolean;
  readonly planUpdateable: boolean;
  readonly plans: readonly ServicePlan[];
}

/** The catalog, ready to publish and to be asked. */
export interface Catalog {
  /** The bytes that `GET /v2/catalog` answers: UTF-8 JSON without the plans' settings. */
  readonly body: Buffer;
  /** A strong entity tag of `body`, with its quotes (RFC 9110, section 8.8.3). */
  readonly etag: string;
  readonly services: readonly ServiceOffering[];
  findService(serviceId: string): ServiceOffering | undefined;
  /** The plan, if it is one of that service's. */
  findPlan(serviceId: string, planId: string): ServicePlan | undefined;
}

/** OSB 2.17, "Dashboard Client Object". */
export interface DashboardClient {
  readonly id: string;
  readonly secret: string;
  readonly redirect_uri: string;
}

/** The catalog file after its form was checked, in the words of the specification. */
export interface CatalogFile {
  readonly services: readonly OfferingInFile[];
}

export interface OfferingInFile {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly tags?: readonly string[];
  readonly bindable: boolean;
  readonly plan_updateable: boolean;
  readonly dashboard_client?: DashboardClient;
  readonly plans: readonly PlanInFile[];
}

export interface PlanInFile {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly free?: boolean;
  readonly bindable?: boolean;
  readonly binding_rotatable?: boolean;
  readonly plan_updateable?: boolean;
  readonly maximum_polling_duration?: number;
  readonly maintenance_info?: MaintenanceInfo;
  readonly schemas: {
    readonly service_instance: {
      readonly create: { readonly parameters: JsonObject };
      readonly update: { readonly parameters: JsonObject };
    };
    readonly service_binding: { readonly create: { readonly parameters: JsonObject } };
  };
  readonly broker: { readonly quota_bytes: number; readonly backups?: boolean };
}
