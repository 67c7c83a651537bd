// Written from the OpenAPI document by `make schemas`. Do not edit.

export interface CameraListEnvelope {
  success: true;
  data: CameraResponse[];
  meta: PageMeta;
}

export interface CameraResponse {
  id: string;
  slug: string;
  name: string;
  rtsp_url: string;
  username: string | null;
  has_password: boolean;
  status: "idle" | "live" | "degraded" | "offline";
  is_active: boolean;
  enable_detection: boolean;
  detection_sensitivity: number;
  device_id: string | null;
  group_id: string | null;
  group_name: string | null;
  location: string | null;
  resolution: string | null;
  fps: number | null;
  codec: string | null;
  retention_days: number | null;
  settings: Record<string, unknown>;
  config_version: number;
  configuration: ConfigurationResponse;
  last_connected: string | null;
  createdAt: string;
  updatedAt: string;
}

export interface ConfigurationResponse {
  state: "applied" | "pending" | "rejected" | "no_device" | "unmanaged";
  version: number | null;
  applied_version: number | null;
  error: string | null;
}

export interface DateRange {
  first_event: string | null;
  last_event: string | null;
}

export interface EmptyMeta {
}

export interface EventListResponse {
  events: EventResponse[];
  total: number;
  page: number | null;
  page_size: number;
  has_more: boolean;
  next_cursor: string | null;
}

export interface EventResponse {
  id: number;
  event_id: string;
  event_type: "tracking" | "motion" | "detection" | "anpr" | "snapshot" | "camera_status" | "rule";
  camera_id: string;
  site_id: string;
  device_id: string;
  timestamp: string;
  frame_number: number | null;
  snapshot_path: string | null;
  event_data: Record<string, unknown>;
  created_at: string;
}

export interface EventStatisticsResponse {
  total_events: number;
  events_by_type: Record<string, number>;
  events_by_camera: Record<string, number>;
  date_range: DateRange;
}

export interface FoundPlateResponse {
  id: number;
  event_id: string;
  site_id: string;
  device_id: string;
  camera_id: string;
  host: string | null;
  captured_at: string;
  track_id: number | null;
  track_uid: string | null;
  plate_text: string | null;
  plate_normalized_text: string | null;
  confidence: number;
  region: string | null;
  vehicle_type: string | null;
  vehicle_make: string | null;
  vehicle_model: string | null;
  vehicle_color: string | null;
  vehicle_image_key: string | null;
  plate_image_key: string | null;
  plate_box: PlateBox | null;
  latency_ms: number | null;
  quality_score: number | null;
  frame_number: number | null;
  roi: string | null;
  direction: string | null;
  reads: number | null;
  created_at: string;
  plate_token: string | null;
  similarity?: number | null;
  edit_distance?: number | null;
  distance?: number | null;
}

export interface GroupSummary {
  id: string | null;
  slug: string | null;
  name: string | null;
  total: number;
  active: number;
  by_status: StatusCounts;
}

export interface PageMeta {
  page: number;
  pageSize: number;
  total: number;
  totalPages: number;
}

export interface PlateBox {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface PlateCameraResponse {
  camera_id: string;
  site_id: string;
  events: number;
  first_seen: string;
  last_seen: string;
}

export interface PlateHistoryResponse {
  plate_normalized_text: string;
  total_events: number;
  first_seen: string;
  last_seen: string;
  avg_confidence: number;
  cameras: PlateCameraResponse[];
  plates: PlateReadResponse[];
}

export interface PlateListResponse {
  plates: FoundPlateResponse[];
  total: number;
  limit: number;
  offset: number | null;
  has_more: boolean;
  next_cursor: string | null;
}

export interface PlateReadResponse {
  id: number;
  event_id: string;
  site_id: string;
  device_id: string;
  camera_id: string;
  host: string | null;
  captured_at: string;
  track_id: number | null;
  track_uid: string | null;
  plate_text: string | null;
  plate_normalized_text: string | null;
  confidence: number;
  region: string | null;
  vehicle_type: string | null;
  vehicle_make: string | null;
  vehicle_model: string | null;
  vehicle_color: string | null;
  vehicle_image_key: string | null;
  plate_image_key: string | null;
  plate_box: PlateBox | null;
  latency_ms: number | null;
  quality_score: number | null;
  frame_number: number | null;
  roi: string | null;
  direction: string | null;
  reads: number | null;
  created_at: string;
  plate_token: string | null;
}

export interface SessionResponse {
  kind: "user" | "api_key" | "anonymous";
  name: string;
  role: string | null;
  permissions: string[];
  log_in: "available" | "https-required" | "none";
}

export interface StatusCounts {
  idle: number;
  live: number;
  degraded: number;
  offline: number;
}

export interface SummaryEnvelope {
  success: true;
  data: SummaryResponse;
  meta: EmptyMeta;
}

export interface SummaryResponse {
  total: number;
  active: number;
  inactive: number;
  detecting: number;
  by_status: StatusCounts;
  groups: GroupSummary[];
}
