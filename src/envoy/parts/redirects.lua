-- Rewrites a redirect to the service's own host so that it leads to the address the client used.
-- Otherwise the client would follow it past this gateway, where its requests carry no token.
function envoy_on_response(response)
  local headers = response:headers()
  local location = headers:get("location"):gsub("^[Hh][Tt][Tt][Pp][Ss]?:", "")
  local host, rest = location:match("^//([^/?#]+)(.*)$")
  if host == nil then return end
  local authority = response:streamInfo():filterState():get("idtoken_authz.authority")
  -- Without a host of the route, the client itself has named the service.
  local own_host = response:metadata():get("host") or authority:lower()
  if host:lower():gsub(":%d+$", "") ~= own_host then return end
  headers:replace("location", "http://" .. authority .. rest)
end
