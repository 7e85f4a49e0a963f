function envoy_on_request(request)
  request:headers():replace(":method", "GET")
end
