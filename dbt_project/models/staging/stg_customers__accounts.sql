-- Names and addresses stay in raw: nothing is made from them.

with customers as (

    select * from {{ source('raw', 'customers') }}

)

select
    customer_id,
    country,
    joined_on,
    newsletter
from customers
