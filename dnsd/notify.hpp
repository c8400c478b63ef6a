// Tells systemd how we are (sd_notify(3)); does nothing when nobody asked for it with $NOTIFY_SOCKET.
#pragma once

#include <string_view>

namespace countersign::dnsd {

// "READY=1", "STOPPING=1".
void notify_service_manager(std::string_view state);

}  // namespace countersign::dnsd
