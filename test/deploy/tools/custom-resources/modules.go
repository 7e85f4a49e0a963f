package main

// The modules whose definitions .ci/deploy reads, so that go.mod has their versions.
import (
	_ "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	_ "github.com/envoyproxy/gateway/api/v1alpha1"
	_ "github.com/projectcontour/contour/apis/projectcontour/v1"
	_ "sigs.k8s.io/gateway-api/apis/v1"
)
