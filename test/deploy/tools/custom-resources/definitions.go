package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	definition "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/json"
	limits "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// The schemas of custom resources, by "GROUP/VERSION KIND".
type schemas map[string]*definition.JSONSchemaProps

// Reads every CustomResourceDefinition in the YAML files of a folder, or in one file.
func (known schemas) read(folder string) error {
	return filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
			var crd definition.CustomResourceDefinition
			if err := yaml.Unmarshal(document, &crd); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			for _, version := range crd.Spec.Versions {
				if crd.Kind == "CustomResourceDefinition" && version.Served {
					name := crd.Spec.Group + "/" + version.Name + " " + crd.Spec.Names.Kind
					known[name] = version.Schema.OpenAPIV3Schema
				}
			}
		}
		return nil
	})
}

// Checks a resource as the API server does when it is created: unknown fields, types and values, and
// the rules in CEL, after the defaults have been set.
func checkBySchema(document []byte, properties *definition.JSONSchemaProps) error {
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return err
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		return err
	}
	internal := &apiextensions.JSONSchemaProps{}
	if err := definition.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(properties, internal, nil); err != nil {
		return err
	}
	structural, err := schema.NewStructural(internal)
	if err != nil {
		return err
	}
	options := schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	if unknown := pruning.PruneWithOptions(object, structural, true, options); len(unknown) > 0 {
		return fmt.Errorf("unknown fields: %s", strings.Join(unknown, ", "))
	}
	defaulting.Default(object, structural)
	validator, _, err := validation.NewSchemaValidator(internal)
	if err != nil {
		return err
	}
	if faults := validation.ValidateCustomResource(nil, object, validator); len(faults) > 0 {
		return faults.ToAggregate()
	}
	rules := cel.NewValidator(structural, true, limits.PerCallLimit)
	faults, _ := rules.Validate(context.Background(), nil, structural, object, nil, limits.RuntimeCELCostBudget)
	return faults.ToAggregate()
}
