-- Rewrites a redirect to the service's own host so that it leads to the address the client used.
-- Otherwise the client would follow it past this gateway, where its requests carry no token.
local STATE = "idtoken_authz"

function envoy_on_request(request)
  local authority = request:headers():get(":authority")
  request:streamInfo():dynamicMetadata():set(STATE, "authority", authority)
end

function envoy_on_response(response)
  local headers = response:headers()
  local location = headers:get("location")
  if location == nil then return end
  local bare = location:gsub("^[Hh][Tt][Tt][Pp][Ss]?:", "")
  local host, rest = bare:match("^//([^/?#]+)(.*)$")
  if host == nil or host:lower():gsub(":%d+$", "") ~= response:metadata():get("host") then
    return
  end
  local state = response:streamInfo():dynamicMetadata():get(STATE)
  headers:replace("location", "http://" .. state.authority .. rest)
end
