// Package bridge serves a Terraform provider to Pulumi's engine, by the bridge that the official plugins are made with.
package bridge

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/terraform-plugin-framework/provider"
	pf "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfgen"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"
)

// Serve runs until the engine ends it. Each resource is of the one module "index" and has prefix before its name, in
// front of what Terraform calls it without the provider's.
func Serve(name, version, prefix string, served provider.Provider, resources map[string]*tfbridge.ResourceInfo) {
	program, err := os.Executable()
	if err != nil {
		fail(name, err)
	}
	info := tfbridge.ProviderInfo{
		P:         pf.ShimProvider(served),
		Name:      name,
		Version:   version,
		Resources: resources,
		// It keeps what one release was called in the next, and is to be there.
		MetadataInfo: tfbridge.NewProviderMetadata([]byte("{}")),
		// Where the documentation would be: without a directory, the bridge has Go fetch the provider for it.
		UpstreamRepoPath: filepath.Dir(program),
		// As recorded of the official ones: a state of schema 0 has no mark, and each has what else Terraform knows.
		EnableZeroDefaultSchemaVersion: true,
		EnableRawStateDelta:            true,
		EnableAccurateBridgePreview:    true,
	}
	named := tokens.MakeStandard(name)
	info.MustComputeTokens(tokens.SingleModule(name+"_", "index", func(module, resource string) (string, error) {
		return named(module, prefix+resource)
	}))

	// A release has its schema made beforehand. What the making says stays here: the engine reads a port number from
	// standard output.
	quiet := diag.DefaultSink(io.Discard, io.Discard, diag.FormatOptions{Color: colors.Never})
	generated, err := tfgen.GenerateSchema(context.Background(),
		tfgen.GenerateSchemaOptions{ProviderInfo: info, DiagnosticsSink: quiet})
	if err != nil {
		fail(name, err)
	}
	pf.Main(context.Background(), name, info, generated.ProviderMetadata)
}

func fail(name string, err error) {
	fmt.Fprintf(os.Stderr, "the %s plugin cannot start: %v\n", name, err)
	os.Exit(1)
}
