// Checks custom resources against the Go types of their projects: an unknown field, a wrong type or
// a kind not listed here is an error. Its arguments are YAML files.
package main

import (
	"bytes"
	"fmt"
	"os"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	gateway "github.com/envoyproxy/gateway/api/v1alpha1"
	contour "github.com/projectcontour/contour/apis/projectcontour/v1"
	contourextension "github.com/projectcontour/contour/apis/projectcontour/v1alpha1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	mesh "istio.io/api/mesh/v1alpha1"
	security "istio.io/api/security/v1beta1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	routing "sigs.k8s.io/gateway-api/apis/v1"
	routingbeta "sigs.k8s.io/gateway-api/apis/v1beta1"
	"sigs.k8s.io/yaml"
)

// A resource whose spec is a protobuf message.
type withSpec struct {
	meta.TypeMeta `json:",inline"`
	Metadata      meta.ObjectMeta `json:"metadata"`
	Spec          any             `json:"spec"`
}

// A Cloud Run service: Knative's fields around those of a pod.
type service struct {
	meta.TypeMeta `json:",inline"`
	Metadata      meta.ObjectMeta `json:"metadata"`
	Spec          struct {
		Template struct {
			Metadata meta.ObjectMeta `json:"metadata"`
			Spec     struct {
				core.PodSpec         `json:",inline"`
				ContainerConcurrency int64 `json:"containerConcurrency"`
				TimeoutSeconds       int64 `json:"timeoutSeconds"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

func main() {
	failed := false
	for _, path := range os.Args[1:] {
		if err := checkFile(path); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

func checkFile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		if err := check(document); err != nil {
			return err
		}
	}
	return nil
}

func check(document []byte) error {
	var kind meta.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return err
	}
	switch name := kind.APIVersion + " " + kind.Kind; name {
	case "gateway.envoyproxy.io/v1alpha1 Backend":
		return yaml.UnmarshalStrict(document, &gateway.Backend{})
	case "gateway.envoyproxy.io/v1alpha1 SecurityPolicy":
		return yaml.UnmarshalStrict(document, &gateway.SecurityPolicy{})
	case "gateway.networking.k8s.io/v1beta1 ReferenceGrant":
		return yaml.UnmarshalStrict(document, &routingbeta.ReferenceGrant{})
	case "gateway.networking.k8s.io/v1 HTTPRoute":
		return yaml.UnmarshalStrict(document, &routing.HTTPRoute{})
	case "cert-manager.io/v1 Certificate":
		return yaml.UnmarshalStrict(document, &certmanager.Certificate{})
	case "cert-manager.io/v1 Issuer":
		return yaml.UnmarshalStrict(document, &certmanager.Issuer{})
	case "projectcontour.io/v1 HTTPProxy":
		return yaml.UnmarshalStrict(document, &contour.HTTPProxy{})
	case "projectcontour.io/v1alpha1 ExtensionService":
		return yaml.UnmarshalStrict(document, &contourextension.ExtensionService{})
	case "gateway.kgateway.dev/v1alpha1 GatewayExtension":
		return yaml.UnmarshalStrict(document, &gatewayExtension{})
	case "gateway.kgateway.dev/v1alpha1 TrafficPolicy":
		return yaml.UnmarshalStrict(document, &trafficPolicy{})
	case "monitoring.coreos.com/v1 PodMonitor":
		return yaml.UnmarshalStrict(document, &monitoring.PodMonitor{})
	case "serving.knative.dev/v1 Service":
		return yaml.UnmarshalStrict(document, &service{})
	case "security.istio.io/v1 AuthorizationPolicy":
		return checkSpec(document, &security.AuthorizationPolicy{})
	case " ":
		return checkMessage(document, &mesh.MeshConfig{})
	default:
		return fmt.Errorf("no type is known for %q", name)
	}
}

func checkSpec(document []byte, spec proto.Message) error {
	var resource withSpec
	if err := yaml.UnmarshalStrict(document, &resource); err != nil {
		return err
	}
	inner, err := yaml.Marshal(resource.Spec)
	if err != nil {
		return err
	}
	return checkMessage(inner, spec)
}

func checkMessage(document []byte, message proto.Message) error {
	json, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return err
	}
	return protojson.Unmarshal(json, message)
}
