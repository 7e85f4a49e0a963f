-- Refuses requests from web pages that are neither the gateway's own nor allowed by name.
local METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

local function is_allowed(headers, allow_origins)
  local origin = headers:get("origin")
  if origin == nil then return true end
  if headers:getNumValues("origin") > 1 then return false end
  local authority = headers:get(":authority"):lower()
  if origin == "http://" .. authority or origin == "https://" .. authority then return true end
  for _, allowed in ipairs(allow_origins or {}) do
    if origin == allowed then return true end
  end
  return false
end

local function refuse(request, status, error, more)
  local headers = more or {}
  headers[":status"] = status
  headers["content-type"] = "application/json"
  request:respond(headers, '{"error":"' .. error .. '"}')
end

function envoy_on_request(request)
  local headers = request:headers()
  if headers:get(":method") == "TRACE" then
    refuse(request, "405", "method_not_allowed", { ["allow"] = METHODS })
  elseif not is_allowed(headers, request:metadata():get("allow_origins")) then
    refuse(request, "403", "origin_not_allowed")
  end
end
