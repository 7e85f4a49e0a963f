module idtoken-authz/custom-resources

go 1.26
