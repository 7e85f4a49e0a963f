// Checks custom resources against the definitions of their projects, or where a project's module has
// none against its Go types: an unknown field, a wrong type or value, or an unknown kind is an error.
// Its arguments are YAML files; -crds names a file or folder of definitions.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	mesh "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	known := schemas{}
	flag.Func("crds", "file or folder with definitions", known.read)
	flag.Parse()
	failed := false
	for _, path := range flag.Args() {
		if err := checkFile(path, known); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

func checkFile(path string, known schemas) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		if err := check(document, known); err != nil {
			return err
		}
	}
	return nil
}

func check(document []byte, known schemas) error {
	var kind meta.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return err
	}
	name := kind.APIVersion + " " + kind.Kind
	if properties, found := known[name]; found {
		return checkBySchema(document, properties)
	}
	switch name {
	case "gateway.kgateway.dev/v1alpha1 BackendConfigPolicy":
		return yaml.UnmarshalStrict(document, &backendConfigPolicy{})
	case "gateway.kgateway.dev/v1alpha1 GatewayExtension":
		return yaml.UnmarshalStrict(document, &gatewayExtension{})
	case "gateway.kgateway.dev/v1alpha1 TrafficPolicy":
		return yaml.UnmarshalStrict(document, &trafficPolicy{})
	case "monitoring.coreos.com/v1 PodMonitor":
		return yaml.UnmarshalStrict(document, &monitoring.PodMonitor{})
	case "serving.knative.dev/v1 Service":
		return yaml.UnmarshalStrict(document, &service{})
	case "networking.istio.io/v1 DestinationRule":
		return checkSpec(document, &networking.DestinationRule{})
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
