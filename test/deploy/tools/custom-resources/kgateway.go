package main

import (
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	routing "sigs.k8s.io/gateway-api/apis/v1"
	policy "sigs.k8s.io/gateway-api/apis/v1alpha2"
)

// kgateway's own Go module is not available from every module proxy, so these types restate the part
// of its API (gateway.kgateway.dev/v1alpha1) that deploy/ uses.

type gatewayExtension struct {
	meta.TypeMeta `json:",inline"`
	Metadata      meta.ObjectMeta `json:"metadata"`
	Spec          struct {
		ExtAuth struct {
			GrpcService      kgatewayGrpcService `json:"grpcService"`
			FailOpen         bool                `json:"failOpen"`
			StatusOnError    int32               `json:"statusOnError"`
			HeadersToForward []string            `json:"headersToForward"`
		} `json:"extAuth"`
	} `json:"spec"`
}

type kgatewayGrpcService struct {
	BackendRef     routing.BackendRef `json:"backendRef"`
	Authority      string             `json:"authority"`
	RequestTimeout meta.Duration      `json:"requestTimeout"`
	Retry          struct {
		Attempts int32 `json:"attempts"`
		Backoff  struct {
			BaseInterval meta.Duration `json:"baseInterval"`
			MaxInterval  meta.Duration `json:"maxInterval"`
		} `json:"backoff"`
	} `json:"retry"`
}

type backendConfigPolicy struct {
	meta.TypeMeta `json:",inline"`
	Metadata      meta.ObjectMeta `json:"metadata"`
	Spec          struct {
		TargetRefs []policy.LocalPolicyTargetReference `json:"targetRefs"`
		TLS        struct {
			SecretRef             core.LocalObjectReference `json:"secretRef"`
			Sni                   string                    `json:"sni"`
			VerifySubjectAltNames []string                  `json:"verifySubjectAltNames"`
			AlpnProtocols         []string                  `json:"alpnProtocols"`
		} `json:"tls"`
	} `json:"spec"`
}

type trafficPolicy struct {
	meta.TypeMeta `json:",inline"`
	Metadata      meta.ObjectMeta `json:"metadata"`
	Spec          struct {
		TargetRefs []policy.LocalPolicyTargetReferenceWithSectionName `json:"targetRefs"`
		ExtAuth    struct {
			ExtensionRef      core.LocalObjectReference `json:"extensionRef"`
			ContextExtensions map[string]string         `json:"contextExtensions"`
		} `json:"extAuth"`
	} `json:"spec"`
}
