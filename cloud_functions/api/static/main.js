// The entry point: defines the custom elements. The page holds one of them, <vd-app>.

import { App } from "./views/app.js";
import { CameraCard } from "./views/camera_card.js";
import { Cameras } from "./views/cameras.js";
import { EventDialog } from "./views/event_dialog.js";
import { EventFilters } from "./views/event_filters.js";
import { Events } from "./views/events.js";
import { LogIn } from "./views/log_in.js";
import { Plates } from "./views/plates.js";
import { EventList } from "./ui/event_list.js";
import { Picture } from "./ui/picture.js";

customElements.define("vd-picture", Picture);
customElements.define("vd-event-list", EventList);
customElements.define("vd-event-filters", EventFilters);
customElements.define("vd-events", Events);
customElements.define("vd-camera-card", CameraCard);
customElements.define("vd-cameras", Cameras);
customElements.define("vd-plates", Plates);
customElements.define("vd-event-dialog", EventDialog);
customElements.define("vd-log-in", LogIn);
customElements.define("vd-app", App);
