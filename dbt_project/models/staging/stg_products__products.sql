with products as (

    select * from {{ source('raw', 'products') }}

)

select
    product_id,
    title,
    category,
    price as list_price,
    introduced_on
from products
