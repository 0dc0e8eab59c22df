using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace ConfidentialChat.Gateway.State.Migrations.Sqlite
{
    /// <inheritdoc />
    public partial class KeySetBundles : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<byte[]>(
                name: "bundle",
                table: "node_key_sets",
                type: "BLOB",
                nullable: true);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropColumn(
                name: "bundle",
                table: "node_key_sets");
        }
    }
}
