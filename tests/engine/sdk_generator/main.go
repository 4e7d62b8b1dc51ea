// Writes the SDK of a package for Python and for TypeScript, by the generators that `pulumi package add` calls.
//
// Arguments: the package's schema, that of the kubernetes package it refers to, and a directory for `python` and `nodejs`.
// What the generators object to is an error.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/pkg/v3/codegen/nodejs"
	"github.com/pulumi/pulumi/pkg/v3/codegen/python"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

func main() {
	if err := generate(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func generate(ours, kubernetes, directory string) error {
	var spec schema.PackageSpec
	if err := read(ours, &spec); err != nil {
		return err
	}
	others := &referred{}
	if err := read(kubernetes, &others.spec); err != nil {
		return err
	}
	pkg, diagnostics, err := schema.BindSpec(spec, others, schema.ValidationOptions{})
	if err != nil {
		return err
	}
	if len(diagnostics) > 0 {
		return diagnostics
	}
	files, err := python.GeneratePackage("pulumi", pkg, nil, others)
	if err != nil {
		return err
	}
	if err := write(filepath.Join(directory, "python"), files); err != nil {
		return err
	}
	files, err = nodejs.GeneratePackage("pulumi", pkg, nil, nil, false, others)
	if err != nil {
		return err
	}
	return write(filepath.Join(directory, "nodejs"), files)
}

func read(path string, spec *schema.PackageSpec) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, spec)
}

func write(directory string, files map[string][]byte) error {
	for name, text := range files {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// The kubernetes package at whatever version is asked for: its types have their names in all of them.
type referred struct {
	spec   schema.PackageSpec
	loaded *schema.Package
}

func (others *referred) LoadPackage(name string, version *semver.Version) (*schema.Package, error) {
	if name != others.spec.Name {
		return nil, fmt.Errorf("the schema refers to a package that is not here: %s", name)
	}
	if others.loaded == nil {
		if version != nil {
			others.spec.Version = version.String()
		}
		loaded, diagnostics, err := schema.BindSpec(others.spec, others, schema.ValidationOptions{})
		if err != nil {
			return nil, err
		}
		if diagnostics.HasErrors() {
			return nil, diagnostics
		}
		others.loaded = loaded
	}
	return others.loaded, nil
}

func (others *referred) LoadPackageV2(_ context.Context, asked *schema.PackageDescriptor) (*schema.Package, error) {
	return others.LoadPackage(asked.PackageName(), asked.PackageVersion())
}

func (others *referred) LoadPackageReference(name string, version *semver.Version) (schema.PackageReference, error) {
	loaded, err := others.LoadPackage(name, version)
	if err != nil {
		return nil, err
	}
	return loaded.Reference(), nil
}

func (others *referred) LoadPackageReferenceV2(
	_ context.Context, asked *schema.PackageDescriptor,
) (schema.PackageReference, error) {
	return others.LoadPackageReference(asked.PackageName(), asked.PackageVersion())
}
